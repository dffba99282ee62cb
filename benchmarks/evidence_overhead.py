"""What evidence costs: the evidence step alone against the plain forward of ResNet-50, interleaved in one run.

    python benchmarks/evidence_overhead.py [--rounds 15] [--batch 8]

Writes benchmarks/results/evidence_overhead.md. Only ratios from one run are compared; times are medians.
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

import globalpool as gp

RESULT = Path(__file__).parent / "results" / "evidence_overhead.md"
BARS = {"top1": 0.005, "all": 0.04}


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(rounds: int, batch: int) -> str:
    torch.manual_seed(0)
    network: Any = timm.create_model("resnet50").eval()
    head = gp.PooledHead(gp.Mean(), 2048, 1000).eval()
    head.tail.load_state_dict(network.get_classifier().state_dict())
    x = torch.randn(batch, 3, 224, 224)
    with torch.inference_mode():
        features = [network.forward_features(torch.randn_like(x)) for _ in range(4)]  # rotated past the cache
        torch.testing.assert_close(head(features[0]), network.forward_head(features[0]), rtol=1e-5, atol=1e-5)
        work: dict[str, Callable[[int], object]] = {
            "forward": lambda _: network(x),
            "top1": lambda turn: head.evidence(features[turn % 4], "top1"),
            "all": lambda turn: head.evidence(features[turn % 4], "all"),
        }
        times: dict[str, list[float]] = {name: [] for name in work}
        for turn in range(-3, rounds):
            for name, run in work.items():
                spent = seconds(lambda run=run, turn=turn: run(turn))  # type: ignore[misc]
                if turn >= 0:
                    times[name].append(spent)
    median = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: median[name] / median["forward"] for name in BARS}
    rows = [
        f"| {name} | {1e3 * median[name]:.2f} | {100 * ratios[name]:.2f} % | {100 * BARS[name]:.1f} % |"
        for name in BARS
    ]
    lines = [
        "# Evidence against the forward pass of ResNet-50",
        "",
        f"Batch {batch}, 224 x 224, float32, {torch.get_num_threads()} threads, medians of {rounds} interleaved "
        f"rounds; torch {torch.__version__}, timm {timm.__version__}, {platform.machine()}. "
        "The step includes pooling, logits, maps and offset, from the feature map on.",
        "",
        "| evidence for | milliseconds | of the forward | bar |",
        "| --- | --- | --- | --- |",
        *rows,
        f"| (plain forward) | {1e3 * median['forward']:.1f} | 100 % | |",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    table = main(options.rounds, options.batch)
    RESULT.write_text(table, encoding="utf-8")
    print(table)
