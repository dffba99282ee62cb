"""What localises without looking: a blob in the middle, and chance."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.localize.boxes import overlap

Array = NDArray[Any]
#: Deviation of the centre blob, in half sides of the map. It orders the pixels, and its boxes grow evenly enough
#: with the threshold; another width changes which threshold is best, hardly how good that is.
SPREAD = 0.5
#: Random boxes drawn for each picture; what is reported is the mean over them.
DRAWS = 200


@cache
def centre_map(shape: tuple[int, ...]) -> Array:
    """The Gaussian in the middle (the centre baseline of Choe et al., 2020), as wide as the map along each axis."""
    distance = np.zeros(shape)
    for axis, side in enumerate(shape):
        line = (2 * np.arange(side) + 1 - side) / (side * SPREAD)
        distance += (line**2).reshape([-1 if other == axis else 1 for other in range(len(shape))])
    blob: Array = np.exp(-distance / 2)
    blob.flags.writeable = False
    return blob


def random_boxes(random: np.random.Generator, shape: tuple[int, ...], draws: int = DRAWS) -> Array:
    """``(draws, 2, D)``, every box of whole pixels on the map equally likely."""
    boxes = np.empty((draws, 2, len(shape)), dtype=np.int64)
    for axis, side in enumerate(shape):
        # Two different ones of the side + 1 lines between pixels, all pairs equally likely.
        first = random.integers(side + 1, size=draws)
        second = (first + random.integers(1, side + 1, size=draws)) % (side + 1)
        boxes[:, 0, axis], boxes[:, 1, axis] = np.minimum(first, second), np.maximum(first, second)
    return boxes


def random_hits(shapes: list[tuple[int, ...]], true: list[Array], iou: tuple[float, ...], seed: int) -> Array:
    """How often a random box meets a true one by each of ``iou``, ``(N, len(iou))``."""
    random = np.random.default_rng(seed)
    hits = np.empty((len(shapes), len(iou)))
    for row, (shape, boxes) in enumerate(zip(shapes, true, strict=True)):
        met = overlap(random_boxes(random, shape), boxes).max(1)
        hits[row] = [(met >= least).mean() for least in iou]
    return hits
