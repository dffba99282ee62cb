"""The same answers by plain search at every threshold: nothing here is shared with the library."""

from collections import deque
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, find_objects, label

Array = NDArray[Any]
Box = tuple[tuple[int, ...], tuple[int, ...]]


def components(mask: Array, corners: bool = True) -> list[set[tuple[int, ...]]]:
    """Sets of positions, in reading order of their first, by breadth-first search."""
    steps = [step for step in product((-1, 0, 1), repeat=mask.ndim) if any(step)]
    steps = steps if corners else [step for step in steps if sum(map(abs, step)) == 1]
    left = {tuple(map(int, position)) for position in np.argwhere(mask)}
    found = []
    for start in sorted(left):
        if start not in left:
            continue
        left.remove(start)
        queue, members = deque([start]), {start}
        while queue:
            here = queue.popleft()
            for step in steps:
                there = tuple(a + b for a, b in zip(here, step, strict=True))
                if there in left:
                    left.remove(there)
                    members.add(there)
                    queue.append(there)
        found.append(members)
    return found


def box_of(members: set[tuple[int, ...]]) -> Box:
    """First index and past the last on each axis."""
    return tuple(map(min, zip(*members, strict=True))), tuple(max(axis) + 1 for axis in zip(*members, strict=True))


def iou(a: Any, b: Any, plus: int = 0) -> float:
    """Intersection over union of two boxes (start, stop), one pair at a time."""
    common, first, second = 1.0, 1.0, 1.0
    for low, high, other_low, other_high in zip(*a, *b, strict=True):
        common *= max(0, min(high, other_high) - max(low, other_low) + plus)
        first *= high - low + plus
        second *= other_high - other_low + plus
    return common / (first + second - common)


def min_max(values: Array) -> Array:
    return np.zeros_like(values) if values.min() == values.max() else (values - values.min()) / np.ptp(values)


def overlaps(values: Array, true: Array, thresholds: Array, keep: str) -> list[float]:
    """The exact definition."""
    best = []
    for threshold in thresholds:
        found = components(min_max(values) > threshold)
        if keep == "largest" and found:
            found = [max(found, key=len)]  # max takes the first of equals
        best.append(max((iou(box_of(own), box) for own in found for box in true), default=0.0))
    return best


def reference_overlaps(values: Array, true: Array, thresholds: Array, keep: str) -> list[float]:
    """The paper's definition, with scipy's components in place of contours."""
    pixels, best = (min_max(values) * 255).astype(np.uint8), []
    last = [side - 1 for side in values.shape]
    for threshold in thresholds:
        mask = pixels > int(threshold * pixels.max())
        found: list[Any] = []
        if keep == "largest":
            filled, number = label(binary_fill_holes(mask), np.ones((3, 3)))
            areas = [polygon_area(filled == own) for own in range(1, number + 1)]
            if areas:
                found = [find_objects(filled)[max(range(number), key=lambda own: (areas[own], own))]]
        else:
            found = list(find_objects(label(mask, np.ones((3, 3)))[0]))
            background = label(np.pad(~mask, 1, constant_values=True))[0]
            for number, place in enumerate(find_objects(background), 1):
                if number != background[0, 0]:  # indices are those of the padded picture: one pixel more at both ends
                    found.append([slice(side.start - 2, side.stop) for side in place])
        boxes = [
            ([side.start for side in place], [min(side.stop, end) for side, end in zip(place, last, strict=True)])
            for place in found
        ]
        best.append(max(iou(own, box, plus=1) for own in boxes or [([0, 0], [0, 0])] for box in true))
    return best


def polygon_area(mask: Array) -> float:
    """Of the outline through pixel centres: squares of four pixels, triangles of three."""
    corners = mask[1:, 1:].astype(int) + mask[:-1, 1:] + mask[1:, :-1] + mask[:-1, :-1]
    return float((corners == 4).sum() + 0.5 * (corners == 3).sum())


def average_precision(maps: list[Array], masks: list[Array], ignore: list[Array], thresholds: Array) -> float:
    """PxAP by counting pixels at every threshold."""
    values = np.concatenate([min_max(own)[mask | ~left] for own, mask, left in zip(maps, masks, ignore, strict=True)])
    truth = np.concatenate([mask[mask | ~left] for mask, left in zip(masks, ignore, strict=True)])
    area, before = 0.0, 0.0
    for threshold in [*thresholds, 1.0][::-1]:
        hit, false = (truth & (values >= threshold)).sum(), (~truth & (values >= threshold)).sum()
        recall = hit / truth.sum()
        if hit + false:
            area += hit / (hit + false) * (recall - before)
        before = recall
    return float(area)
