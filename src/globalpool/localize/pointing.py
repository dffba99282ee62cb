"""The pointing game: does the highest point of a map lie on the object (Zhang et al., Excitation backprop, 2016)."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import LocalizationError
from globalpool.localize.baselines import centre_map
from globalpool.localize.bootstrap import Bootstrap, Measured, means
from globalpool.localize.heatmaps import Maps, read_maps
from globalpool.localize.pixels import Masks, read_masks

Array = NDArray[Any]


@dataclass(frozen=True)
class Pointing:
    """The share of ``samples`` pictures whose highest point is a hit, beside the ``centre`` and a ``random`` point."""

    samples: int
    tolerance: float
    hits: Measured
    centre: Measured
    random: Measured
    above_centre: Measured
    confidence: float

    def __str__(self) -> str:
        return (
            f"pointing game {self.hits} over {self.samples} pictures, within {self.tolerance:g} px "
            f"(intervals of {100 * self.confidence:g} %)\n"
            f"  centre baseline {self.centre}; above it {self.above_centre}\n"
            f"  random point {self.random}"
        )


def pointing_game(maps: Maps, masks: Masks, *, tolerance: float = 0.0, bootstrap: Bootstrap | None = None) -> Pointing:
    """The highest point of each map is a hit where it lies within ``tolerance`` pixels (between centres) of the object.

    ``maps``: ``(N, *S)`` or a list of ``(*S)``; ``masks``: bool of the same shapes, True = object (of boxes:
    ``box_masks``). The original's tolerance is 15 px on pictures of some hundred pixels. Where several points are
    highest, the share of them that hit counts: a constant map scores what a random point does.

    LocalizationError for a mask without object, for which neither hit nor miss means anything.
    """
    bootstrap = bootstrap or Bootstrap()
    if not 0 <= tolerance < float("inf"):
        raise LocalizationError("pointing game", "a `tolerance` of 0 pixels or more", f"{tolerance}")
    read = read_maps("pointing game", maps)
    rows = []
    for sample, (values, mask) in enumerate(
        zip(read.values, read_masks("pointing game", "masks", masks, read.shapes), strict=True)
    ):
        if not mask.any():
            raise LocalizationError("pointing game", "an object in every mask", f"none for picture {sample}")
        target = widened(mask, tolerance)
        middle = centre_map(mask.shape)
        rows.append([target[values == values.max()].mean(), target[middle == middle.max()].mean(), target.mean()])

    def statistic(mean: Array) -> Array:
        return np.concatenate([means(mean), mean[:, :1] - mean[:, 1:2]], 1)

    hits, centre, chance, above = bootstrap.measure(np.array(rows), statistic)
    return Pointing(len(read), tolerance, hits, centre, chance, above, bootstrap.confidence)


def widened(mask: Array, tolerance: float) -> Array:
    """True within ``tolerance`` pixels of a True pixel, straight distance between centres."""
    reach, wide = int(tolerance), mask.copy()
    for step in product(range(-reach, reach + 1), repeat=mask.ndim):
        if 0 < sum(length**2 for length in step) <= tolerance**2:
            into = tuple(slice(max(length, 0), min(length, 0) or None) for length in step)
            out_of = tuple(slice(max(-length, 0), min(-length, 0) or None) for length in step)
            wide[into] |= mask[out_of]
    return wide
