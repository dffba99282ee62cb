"""mPxAP: PxAP of each class by itself, and their mean, in which classes weigh alike (Choe et al., 2020, per class)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from globalpool.errors import LocalizationError
from globalpool.localize.bootstrap import Bootstrap, Measured
from globalpool.localize.heatmaps import Maps, read_maps
from globalpool.localize.levels import THRESHOLDS
from globalpool.localize.pixels import Masks, pixel_columns, pixel_statistic, read_masks

Array = NDArray[Any]


@dataclass(frozen=True)
class ClassPixelPrecision:
    """mPxAP, 0 to 1, beside the ``centre`` Gaussian and ``random``, the share of foreground: means over ``classes``.

    ``each``: the precision of every class, in their order. Intervals draw the pictures of each class again.
    """

    classes: tuple[int, ...]
    each: tuple[Measured, ...]
    precision: Measured
    centre: Measured
    random: Measured
    above_centre: Measured
    confidence: float

    def __str__(self) -> str:
        return (
            f"mPxAP {self.precision} over {len(self.classes)} classes (intervals of {100 * self.confidence:g} %)\n"
            f"  centre baseline {self.centre}; above it {self.above_centre}\n"
            f"  random order {self.random}"
        )


def mean_pixel_average_precision(
    maps: Maps,
    masks: Masks,
    classes: Sequence[int] | Array | Tensor,
    *,
    ignore: Masks | None = None,
    thresholds: Array = THRESHOLDS,
    bootstrap: Bootstrap | None = None,
) -> ClassPixelPrecision:
    """The mean over classes of ``pixel_average_precision`` of a class's pictures alone; arguments and errors as there.

    ``classes (N,)``: whole numbers, the class of each picture's map and mask. LocalizationError for a class without
    any foreground.
    """
    bootstrap = bootstrap or Bootstrap()
    read = read_maps("mPxAP", maps)
    ids = np.asarray(classes.cpu() if isinstance(classes, Tensor) else classes)
    if ids.shape != (len(read),) or not np.issubdtype(ids.dtype, np.integer):
        expected = f"`classes` as whole numbers ({len(read)},), one a picture"
        raise LocalizationError("mPxAP", expected, f"{ids.dtype} {ids.shape}")
    objects = read_masks("mPxAP", "masks", masks, read.shapes)
    left_out = None if ignore is None else read_masks("mPxAP", "ignore", ignore, read.shapes)
    known, values, drawn = np.unique(ids).tolist(), [], []
    for number, name in enumerate(known):
        rows = np.flatnonzero(ids == name)
        ignored = None if left_out is None else [left_out[row] for row in rows]
        own = [read.values[row] for row in rows], [objects[row] for row in rows], ignored
        columns = pixel_columns(f"mPxAP, class {name}", *own, thresholds)
        values.append(pixel_statistic(columns.mean(0, keepdims=True))[0])
        drawn.append(bootstrap.draws(columns, pixel_statistic, stream=number))
    each = [bootstrap.around(value[:1], draw[:, :1])[0] for value, draw in zip(values, drawn, strict=True)]
    precision, centre, chance, above = bootstrap.around(np.mean(values, 0), np.mean(drawn, 0))
    return ClassPixelPrecision(tuple(known), tuple(each), precision, centre, chance, above, bootstrap.confidence)
