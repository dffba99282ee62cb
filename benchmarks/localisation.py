"""What boxes at every threshold cost: one sweep against a search at each threshold, interleaved in one run.

    python benchmarks/localisation.py [--rounds 7] [--side 224]

Maps as classifiers give them (7 x 7 cells, bilinear), smooth noise, and plain noise; 1,000 thresholds, as the protocol
asks, of which the reference definition has 255 distinct ones: the search is spared the repeated ones there. Both sides
give the same overlaps, which is asserted. Writes benchmarks/results/localisation.md.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, find_objects, gaussian_filter, label

from globalpool.localize.boxes import overlap
from globalpool.localize.candidates import Definition, Keep, candidates
from globalpool.localize.levels import THRESHOLDS, min_max

Array = NDArray[Any]
RESULT = Path(__file__).parent / "results" / "localisation.md"
BAR, EIGHT = 20, np.ones((3, 3), dtype=np.int8)


def the_maps(side: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    cells = torch.from_numpy(random.normal(size=(1, 1, 7, 7)))
    big = torch.nn.functional.interpolate(cells, (side, side), mode="bilinear")[0, 0].numpy()
    noise = random.random((side, side))
    return {"7 x 7 cells": big, "smooth": gaussian_filter(noise, side / 40), "noise": noise}


def search(values: Array, true: Array, keep: Keep, reference: bool) -> Array:
    """Best overlap at each threshold, by scipy's components of each foreground (in the reference: its byte levels)."""
    scaled = min_max(values)
    if reference:
        pixels = (scaled * 255).astype(np.uint8)
        limits, which = np.unique((THRESHOLDS * int(pixels.max())).astype(int), return_inverse=True)
    else:
        pixels, limits, which = scaled, THRESHOLDS, np.arange(len(THRESHOLDS))
    return np.array([_found(pixels > limit, true, keep, reference) for limit in limits])[which]


def _found(mask: Array, true: Array, keep: Keep, reference: bool) -> float:
    if reference and keep == "largest":
        mask = binary_fill_holes(mask)
    marked, count = label(mask, EIGHT)
    places = find_objects(marked)
    if reference and keep == "all":
        around = np.pad(~mask, 1, constant_values=True)
        background = label(around)[0]
        holes = [own for number, own in enumerate(find_objects(background), 1) if number != background[0, 0]]
        places = [*places, *([slice(axis.start - 2, axis.stop) for axis in own] for own in holes)]
    if not places:
        return float(overlap(np.zeros_like(true[:1]), true, True).max()) if reference else 0.0
    boxes = np.array([[[axis.start for axis in own], [axis.stop for axis in own]] for own in places])
    if keep == "largest":
        if reference:
            sizes = [_area(marked[own] == number) for number, own in enumerate(places, 1)]
            boxes = boxes[[max(range(count), key=lambda own: (sizes[own], own))]]
        else:
            boxes = boxes[[int(np.bincount(marked.reshape(-1))[1:].argmax())]]
    if reference:
        boxes[:, 1] = np.minimum(boxes[:, 1], np.array(mask.shape) - 1)
    return float(overlap(boxes, true, reference).max())


def _area(mask: Array) -> float:
    corners = mask[1:, 1:].astype(np.int8) + mask[:-1, 1:] + mask[1:, :-1] + mask[:-1, :-1]
    return float((corners == 4).sum() + 0.5 * (corners == 3).sum())


def contours(values: Array, keep: Keep) -> None:
    """OpenCV's contours and boxes at every one of the thousand thresholds, as the code of the paper finds them."""
    import cv2

    pixels: Any = (min_max(values) * 255).astype(np.uint8)
    for threshold in THRESHOLDS:
        mask = cv2.threshold(pixels, int(threshold * 255), 255, cv2.THRESH_BINARY)[1]
        found = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        kept = [max(found, key=cv2.contourArea)] if keep == "largest" and found else found
        for contour in kept:
            cv2.boundingRect(contour)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rows(name: str, values: Array, rounds: int) -> list[str]:
    side = values.shape[0]
    true = np.array([[[side // 4, side // 4], [3 * side // 4, 3 * side // 4]]], dtype=np.float64)
    lines = []
    for reference in (False, True):
        definition: Definition = "reference" if reference else "exact"
        for keep in ("largest", "all"):
            ours: Any = lambda: candidates(values, THRESHOLDS, keep, definition).overlaps(true)  # noqa: B023, E731
            theirs: Any = lambda: search(values, true, keep, reference)  # noqa: B023, E731
            opened: Any = lambda: contours(values, keep)  # noqa: B023, E731
            assert np.allclose(ours(), theirs(), atol=1e-12), (name, definition, keep)
            work = {"ours": ours, "search": theirs}
            if reference and find_spec("cv2") and name != "noise":
                work["contours"] = opened
            times: dict[str, list[float]] = {step: [] for step in work}
            for _ in range(rounds):
                for step, run in work.items():
                    times[step].append(seconds(run))
            median = {step: 1e3 * statistics.median(spent) for step, spent in times.items()}
            opencv = (
                f"{median['contours']:.0f} ({median['contours'] / median['ours']:.0f}x)" if "contours" in work else ""
            )
            lines.append(
                f"| {name} | {definition} | {keep} | {median['ours']:.1f} | {median['search']:.0f} | "
                f"{median['search'] / median['ours']:.0f}x | {opencv} |"
            )
            print(lines[-1], flush=True)
    return lines


def main(rounds: int, side: int) -> str:
    lines = [
        "# Boxes at every threshold",
        "",
        f"Maps of {side} x {side}, {len(THRESHOLDS)} thresholds, one thread, medians of {rounds} interleaved rounds, "
        f"milliseconds a map; numpy {np.__version__}, scipy {scipy.__version__}, {platform.machine()}. The bar is "
        f"{BAR}x against a search for components at each (distinct) threshold.",
        "",
        "| map | definition | components | one sweep | search by scipy | ratio | OpenCV contours, 1,000 thresholds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(line for name, values in the_maps(side).items() for line in rows(name, values, rounds)),
        "",
        "OpenCV's `findContours` is compiled and told no overlaps; it is shown for what the code of the paper costs.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=224)
    options = parser.parse_args()
    table = main(options.rounds, options.side)
    RESULT.write_text(table, encoding="utf-8")
    print(table)
