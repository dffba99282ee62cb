"""What evidence costs: the evidence step alone against the plain forward of its network, interleaved in one run.

    python benchmarks/evidence_overhead.py [--rounds 15] [--batch 8] [--device cpu]

ResNet-50 (a linear tail) and MobileNetV3-Large (a gated one: 960 to 1280, Hardswish, 1000). Writes
benchmarks/results/evidence_overhead.md. Only ratios from one run are compared; times are medians.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

import globalpool as gp

RESULT = Path(__file__).parent / "results" / "evidence_overhead.md"
BARS = {"resnet50": {"top1": 0.005, "all": 0.04}, "mobilenetv3_large_100": {"top1": 0.10, "all": 0.10}}


def seconds(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(name: str, rounds: int, batch: int, device: torch.device) -> list[str]:
    """Rows of the table for one network."""
    torch.manual_seed(0)
    network: Any = timm.create_model(name).eval().to(device)
    x = torch.randn(batch, 3, 224, 224, device=device)
    adopted = gp.adopt(network, x[:2])
    head = gp.PooledClassifier(nn.Identity(), adopted.pool, adopted.tail).eval()
    with torch.inference_mode():
        features = [adopted.features(torch.randn_like(x)) for _ in range(4)]  # rotated past the cache
        work: dict[str, Callable[[int], object]] = {
            "forward": lambda _: network(x),
            "top1": lambda turn: head.evidence(features[turn % 4], "top1"),
            "all": lambda turn: head.evidence(features[turn % 4], "all"),
        }
        times: dict[str, list[float]] = {name: [] for name in work}
        for turn in range(-3, rounds):
            for step, run in work.items():
                spent = seconds(lambda run=run, turn=turn: run(turn), device)  # type: ignore[misc]
                if turn >= 0:
                    times[step].append(spent)
    median = {step: 1e3 * statistics.median(values) for step, values in times.items()}
    rows = [
        f"| {name} | {step} | {median[step]:.2f} | {100 * median[step] / median['forward']:.2f} % | {100 * bar:.1f} % |"
        for step, bar in BARS[name].items()
    ]
    return [*rows, f"| {name} | (plain forward) | {median['forward']:.1f} | 100 % | |"]


def main(rounds: int, batch: int, device: torch.device) -> str:
    place = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    lines = [
        "# Evidence against the forward pass",
        "",
        f"Batch {batch}, 224 x 224, float32, {torch.get_num_threads()} threads, medians of {rounds} interleaved "
        f"rounds; torch {torch.__version__}, timm {timm.__version__}, {place}. "
        "The step includes pooling, logits, maps and offset, from the feature map on.",
        "",
        "| network | evidence for | milliseconds | of the forward | bar |",
        "| --- | --- | --- | --- | --- |",
        *(row for name in BARS for row in measure(name, rounds, batch, device)),
        "",
        "Evidence of all classes through MobileNetV3's tail sends 49 positions through 960 x 1280 and 1280 x 1000 "
        "weights: 123 million multiply-adds a picture, where the whole forward has 217 million (at a lower rate).",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    table = main(options.rounds, options.batch, torch.device(options.device))
    if options.device == "cpu":
        RESULT.write_text(table, encoding="utf-8")
    print(table)
