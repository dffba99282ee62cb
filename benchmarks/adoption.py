"""Which classifiers ``gp.adopt`` takes: the smallest of every timm module file, torchvision's below 150 M parameters.

    python benchmarks/adoption.py [--minutes 300] [--only NAME ...]      every model in a process of its own
    python benchmarks/adoption.py --one timm:resnet18                    one model, as a line of JSON

Random weights, small inputs, one thread. Writes benchmarks/results/adoption.jsonl as it goes (finished models are
not run again) and benchmarks/results/adoption.md from it.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import timm
import torch
import torchvision
from timm.models import _registry as registry
from torch import Tensor, nn

from globalpool.surgery import adopt

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "adoption.md"
LINES = RESULT.with_suffix(".jsonl")
LARGEST = 150e6
SMALL = (128, 140)  # the second for patches of 14 pixels
VIDEOS = [(8, 64, 64), (16, 112, 112), (16, 224, 224)]  # frames, height, width


def smallest_of_each_file() -> list[str]:
    """Timm's models by module file, the one with the fewest parameters of each, fewest first."""
    files: dict[str, tuple[int, str]] = {}
    for name in timm.list_models():
        with torch.device("meta"):
            try:
                count = sum(p.numel() for p in timm.create_model(name).parameters())
            except Exception:
                continue
        file = registry._model_to_module[name]
        files[file] = min(files.get(file, (count, name)), (count, name))
    return [f"timm:{file}:{name}:{count}" for file, (count, name) in sorted(files.items(), key=lambda item: item[1])]


def torchvision_classifiers(source: str, module: ModuleType) -> list[str]:
    """Torchvision's classifiers of pictures or videos below 150 million parameters, fewest parameters first."""
    names = torchvision.models.list_models(module=module)
    weights = {name: torchvision.models.get_model_weights(name) for name in names}
    counts = {name: next(iter(entries)).meta["num_params"] for name, entries in weights.items()}
    found = [(count, name) for name, count in counts.items() if count < LARGEST]
    return [f"{source}:{name}:{name}:{count}" for count, name in sorted(found)]


def build(key: str) -> tuple[nn.Module, Tensor]:
    """The model in eval mode and two random pictures, or videos, of a size it takes."""
    shapes: Sequence[tuple[int, ...]]
    source, _, name, _ = key.split(":")
    torch.manual_seed(0)
    if source == "timm":
        model = timm.create_model(name).eval()
        config: Any = model.pretrained_cfg
        channels, full, _ = config["input_size"]
        sides = [full] if config.get("fixed_input_size") else sorted({min(side, full) for side in SMALL} | {full})
        shapes = [(side, side) for side in sides]
    else:
        settings = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
        model, channels = torchvision.models.get_model(name, **settings).eval(), 3
        shapes = VIDEOS if source == "video" else [(side, side) for side in (SMALL[0], 224, 299)]
    with torch.no_grad():
        for parameter in model.parameters():  # torchvision's transformers start with a head of zeros
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(std=0.02)
    for shape in shapes:
        x = torch.randn(2, channels, *shape)
        try:
            with torch.no_grad():
                model(x)
        except Exception:
            continue
        return model, x
    raise RuntimeError(f"{name} takes none of the sizes {shapes}.")


def examine(key: str) -> dict[str, Any]:
    """What adoption gives for one model."""
    sys.path.insert(0, str(ROOT))
    from tests.surgery.slow_graph import slow_evidence

    start = time.perf_counter()
    source, file, name, parameters = key.split(":")
    row: dict[str, Any] = {"key": key, "source": source, "file": file, "model": name, "parameters": int(parameters)}
    try:
        model, x = build(key)
        row["input"] = "x".join(map(str, x.shape[2:]))
        classifier = adopt(model, x)
    except Exception as error:
        return {**row, "adopted": False, "reason": f"{type(error).__name__}: {error}"[:400]}
    torch.manual_seed(1)
    pictures = torch.randn(4, *x.shape[1:])
    with torch.no_grad():
        expected, got = model(pictures), classifier(pictures)
        evidence = classifier.evidence(pictures, "all")
        one = classifier.evidence(pictures[:1], "all")
        maps, offset = slow_evidence(classifier, pictures[:1])
    scale = expected.abs().amax(1, keepdim=True)
    size = float(maps.abs().sum(1).max())
    return {
        **row,
        "adopted": True,
        "pool": classifier.pool.name + (f"({classifier.pool.extra_repr()})" if classifier.pool.extra_repr() else ""),
        "kind": evidence.kind,
        "positions": "x".join(map(str, evidence.maps.shape[2:])),
        "difference": float(((got - expected).abs() / scale).max()),
        "residual": float((evidence.residual() / evidence.size().clamp(min=1)).max()),
        "brute": float((one.maps[0].flatten(1).double() - maps).abs().max()) / max(size, 1e-30),
        "brute_offset": float((one.offset[0].double() - offset).abs().max() / one.size().max().clamp(min=1)),
        "offset_share": float(evidence.offset_share().nanmedian()),
        "sizes": len(classifier.proof.inputs) if classifier.proof else 0,
        "also": len(classifier.also),
        "seconds": round(time.perf_counter() - start, 1),
    }


def table(rows: list[dict[str, Any]], source: str) -> list[str]:
    """One part of the report."""
    rows = [row for row in rows if row["source"] == source]
    good = [row for row in rows if row["adopted"]]
    numbers = ("difference", "residual", "brute", "brute_offset")
    exact = [row for row in good if all(row[number] <= 1e-5 for number in numbers)]
    word = {
        "timm": "module files",
        "torchvision": "classification models below 150 M parameters",
        "video": "video models",
    }
    lines = [
        f"## {source}: {len(good)} of the {len(rows)} {word[source]} run",
        "",
        f"{len(exact)} of them with logit difference, residual and both comparisons with brute force at most 1e-5.",
        "",
        "| model | M parameters | input | pool | kind | positions | logit difference | residual | against brute force "
        "| offset's share | sizes proven |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['model']} | {row['parameters'] / 1e6:.1f} | {row['input']} | {row['pool']} | {row['kind']} "
        f"| {row['positions']} | {row['difference']:.1e} | {row['residual']:.1e} | {row['brute']:.1e} "
        f"| {100 * row['offset_share']:.0f} % | {row['sizes']} |"
        for row in good
    ]
    refused = [row for row in rows if not row["adopted"]]
    if refused:
        lines += ["", "Not adopted:", "", "| model | reason |", "| --- | --- |"]
        lines += [f"| {row['model']} | {row['reason'].replace('|', '/').replace(chr(10), ' ')} |" for row in refused]
    return [*lines, ""]


def report(rows: list[dict[str, Any]]) -> str:
    """The page."""
    kinds = {kind: sum(row.get("kind") == kind for row in rows) for kind in ("linear", "weighted", "gated")}
    lines = [
        "# Adoption of timm's and torchvision's classifiers",
        "",
        f"Random weights, float32, one thread, torch {torch.__version__}, timm {timm.__version__}, torchvision "
        f"{torchvision.__version__}. Kinds: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}. "
        "Logit difference: largest, relative to the largest logit of its sample. Residual: relative to what was added "
        "up, the terms where they cancel between channels. Brute force: every position of one picture sent alone "
        "through the held graph in float64, relative to the largest sum of absolute evidence. Offset's share: of each "
        "logit's variation between four random inputs, median over classes. Sizes proven counts inputs (two batch "
        "sizes, and a second picture size where taken).",
        "",
        *table(rows, "timm"),
        *table(rows, "torchvision"),
        *table(rows, "video"),
    ]
    return "\n".join(lines)


def main(minutes: float, only: list[str]) -> None:
    keys = smallest_of_each_file() + torchvision_classifiers("torchvision", torchvision.models)
    keys += torchvision_classifiers("video", torchvision.models.video)
    done = [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []
    rows = {row["key"]: row for row in done if row["key"] in keys and row["model"] not in only}
    end = time.monotonic() + 60 * minutes
    for key in sorted(keys, key=lambda key: int(key.split(":")[3])):
        if key in rows or (only and key.split(":")[2] not in only) or time.monotonic() > end:
            continue
        command = [sys.executable, __file__, "--one", key]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
            rows[key] = json.loads(result.stdout.splitlines()[-1])
        except (subprocess.SubprocessError, ValueError, IndexError) as error:
            source, file, name, count = key.split(":")
            row = {"key": key, "source": source, "file": file, "model": name, "parameters": int(count)}
            rows[key] = {**row, "adopted": False, "reason": f"{type(error).__name__}: {str(error)[-200:]}"}
        print(json.dumps(rows[key]), flush=True)
        LINES.write_text("".join(json.dumps(row) + "\n" for row in rows.values()), encoding="utf-8")
    RESULT.write_text(report(list(rows.values())), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one")
    parser.add_argument("--minutes", type=float, default=300)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    if options.one:
        warnings.simplefilter("ignore")
        print(json.dumps(examine(options.one)))
    else:
        main(options.minutes, options.only)
