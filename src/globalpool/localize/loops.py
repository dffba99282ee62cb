"""Other loops over the pixels of a map that no vectorised form makes fast: levels, filled holes, areas of outlines."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.localize.compiled import compiled

Array = NDArray[Any]


@compiled
def exceeded(values: Array, thresholds: Array) -> Array:
    """How many of the rising ``thresholds`` lie strictly below each of ``values (P,)``, int32.

    Fast where the thresholds are even steps from 0 to 1, right for any.
    """
    number = thresholds.size
    levels = np.empty(values.size, np.int32)
    for pixel in range(values.size):
        value = values[pixel]
        level = min(max(int(value * number), 0), number)
        while level < number and thresholds[level] < value:
            level += 1
        while level > 0 and not thresholds[level - 1] < value:
            level -= 1
        levels[pixel] = level
    return levels


@compiled
def polygon_halves(levels: Array) -> Array:
    """Of every 2 x 2 pixels of ``levels (H, W)`` one half for the third brightest and one for the darkest, float64."""
    height, width = levels.shape
    weights = np.zeros((height, width), np.float64)
    for row in range(height - 1):
        for column in range(width - 1):
            least = 0  # corner numbers: row * 2 + column
            for corner in range(1, 4):
                if levels[row + corner // 2, column + corner % 2] < levels[row + least // 2, column + least % 2]:
                    least = corner
            third = 1 if least == 0 else 0
            for corner in range(third + 1, 4):
                if (
                    corner != least
                    and levels[row + corner // 2, column + corner % 2] < levels[row + third // 2, column + third % 2]
                ):
                    third = corner
            weights[row + least // 2, column + least % 2] += 0.5
            weights[row + third // 2, column + third % 2] += 0.5
    return weights


@compiled
def fill(levels: Array, offsets: Array, inside: Array, top: int) -> Array:
    """``levels`` with holes filled at every threshold: the least level that must be crossed on a way to the border.

    ``levels (P,)`` and ``offsets`` as in ``sweep``; ``inside``: False on the outermost pixels, where the flood
    starts (Barnes, Lehman, Mulla, Priority-flood, 2014, with one queue a level).
    """
    pixels = levels.size
    filled = np.full(pixels, -1, np.int32)
    head = np.full(top + 1, -1, np.int64)
    after = np.empty(pixels, np.int64)
    for pixel in range(pixels):
        if not inside[pixel]:
            filled[pixel] = 0
            after[pixel] = head[0]
            head[0] = pixel
    for level in range(top + 1):
        while head[level] >= 0:
            pixel = head[level]
            head[level] = after[pixel]
            for step in offsets:
                other = pixel + step
                if other < 0 or other >= pixels or filled[other] >= 0:
                    continue
                raised = max(level, levels[other])
                filled[other] = raised
                after[other] = head[raised]
                head[raised] = other
    return filled
