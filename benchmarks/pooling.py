"""Pooling and evidence beside their peers: multiples of one streaming read, and ratios, all within this run.

    python benchmarks/pooling.py [--quick] [--rounds 15] [--only TEXT] [--tables speed evidence growth]

Writes benchmarks/results/pooling.md and pooling.json (with --only neither). --quick takes less than three minutes.
"""

import argparse
import json
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from speed import cams, dense, growth, ragged
from speed.timing import Workload, row

RESULT = Path(__file__).parent / "results" / "pooling.md"
TABLES = ("speed", "evidence", "growth")
PACKAGES = ("torch", "numba", "torch-geometric", "timm", "einops", "grad-cam", "torchcam", "captum")


def workloads(quick: bool) -> Iterator[Workload]:
    """Ragged, then dense."""
    yield from ragged.workloads(quick)
    yield from dense.workloads(quick)


def machine() -> str:
    """Processor, threads and versions, in one sentence."""
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} absent")
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads; {', '.join(versions)}."


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def speed_table(rows: list[dict[str, Any]]) -> list[str]:
    """Milliseconds and ratios of every workload."""
    lines = [
        "| workload | limit ms | globalpool ms | of the limit | bar | best peer | its ms | ratio | asked for |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for own in rows:
        best = own["best_peer"]
        asked = "; ".join(f"{name} {x['ratio']:.1f}x (bar {x['bar']:g}x)" for name, x in own["faster"].items())
        bar = f"{own['bar']:g}" if own["bar"] else ""
        peer = f"{best} | {own['peers_ms'][best]:.2f} | {own['best_ratio']:.2f}x" if best else " | | "
        lines.append(
            f"| {own['workload']} | {own['limit_ms']:.2f} | {own['ours_ms']:.2f} | {own['multiple']:.2f} | {bar} "
            f"| {peer} | {asked} |"
        )
    return lines


def page(rows: list[dict[str, Any]], maps: list[dict[str, Any]], sizes: list[dict[str, Any]]) -> str:
    """The Markdown page."""
    lines = [
        "# Pooling and evidence beside their peers",
        "",
        f"{machine()} Medians of interleaved rounds, float32 unless named. The limit is one streaming read of the same "
        "bytes (`x.view(-1).sum()`); of forward and backward, one read and one write. Inputs rotate past the cache. "
        "Ratio: the best peer's time over ours.",
        "",
        *speed_table(rows),
        "",
        "All times in milliseconds, every peer, are in `pooling.json`.",
        "",
        "## Evidence beside Grad-CAM",
        "",
        "ResNet-50, 8 pictures of 224 x 224: what evidence and peers add to a forward pass without gradients, for the "
        "maps of so many classes. Evidence is timed from the features on, less pooling and logits.",
        "",
        "| classes | forward ms | evidence adds ms | cheapest Grad-CAM | adds ms | ratio | bar |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {own['classes']} | {own['forward_ms']:.1f} | {own['evidence_ms']:.2f} | {own['cheapest']} "
            f"| {own['added_ms'][own['cheapest']]:.1f} | {own['ratio']:.0f}x | {own['bar'] or ''} |"
            for own in maps
        ),
        "",
        "## Growth",
        "",
        f"{growth.GROUPS} groups, {growth.CHANNELS} channels; extra memory is the rise of the process's peak over five "
        "passes, beyond the features.",
        "",
        "| pool | rows | ms | ns a row | features MB | extra MB |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {own['pool']} | {own['rows']:,} | {own['ms']:.2f} | {own['ns_per_row']:.1f} | {own['features_mb']:.1f} "
            f"| {own['extra_mb']:.1f} |"
            for own in sizes
        ),
    ]
    return "\n".join(lines) + "\n"


def speed(quick: bool, rounds: int, only: str = "") -> list[dict[str, Any]]:
    """Every workload whose name holds ``only``, printed as it is done."""
    rows = []
    for workload in workloads(quick):
        if only in workload.name:
            rows.append(row(workload, rounds, 2.0 if quick else 6.0))
            print(json.dumps(rows[-1]), flush=True)
    return rows


def main(quick: bool, rounds: int, only: str, tables: list[str]) -> None:
    if only:
        speed(quick, rounds, only)
        return
    stored = RESULT.with_suffix(".json")
    found: dict[str, Any] = json.loads(stored.read_text()) if stored.exists() else {}
    measured = {"speed": speed, "evidence": cams.rows, "growth": lambda quick, rounds: growth.rows(quick)}
    for table in tables:
        found[table] = measured[table](quick, rounds)  # type: ignore[operator]
    stored.write_text(json.dumps(found, indent=1))
    RESULT.write_text(page(*(found.get(table, []) for table in TABLES)), encoding="utf-8")
    print(RESULT.read_text())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="the others stay as they are")
    options = parser.parse_args()
    main(options.quick, options.rounds, options.only, options.tables)
