"""From values to the thresholds they exceed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.localize.loops import exceeded

Array = NDArray[Any]

#: The thresholds of the protocol (Choe et al., Evaluating weakly supervised object localization methods right, 2020).
THRESHOLDS = np.arange(0, 1, 0.001)
BYTE = 255


def min_max(values: Array) -> Array:
    """Shifted and scaled to 0 .. 1, in the same precision; zeros where the map is constant or holds NaN."""
    low, high = values.min(), values.max()
    if np.isnan(low) or low == high:
        return np.zeros_like(values)
    shifted = values - low
    scaled: Array = shifted / shifted.max()
    return scaled


def levels_of(values: Array, thresholds: Array) -> Array:
    """How many of the rising ``thresholds`` lie strictly below each value, int32: a value equal to one is not above."""
    return exceeded(values.astype(np.float64).reshape(-1), thresholds).reshape(values.shape)


def byte_levels(values: Array, thresholds: Array) -> tuple[Array, int, Array]:
    """The reference protocol's levels of a map scaled to 0 .. 1.

    A pixel is ``floor(255 v)``, foreground where that exceeds ``int(t * largest)``. Returns the level of each pixel
    among the distinct thresholds (at most 255 of a thousand), their number, and the distinct one of each threshold.
    """
    pixels = (values * BYTE).astype(np.uint8)
    whole = (thresholds * float(pixels.max())).astype(np.int64)
    distinct, which = np.unique(whole, return_inverse=True)
    above = np.searchsorted(distinct, np.arange(BYTE + 1), side="left").astype(np.int32)
    return above[pixels], len(distinct), which.reshape(-1)
