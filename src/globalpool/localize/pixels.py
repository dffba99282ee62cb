"""PxAP: how well the values of maps order the pixels of objects before all others (Choe et al., 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from globalpool.errors import LocalizationError
from globalpool.localize.baselines import centre_map
from globalpool.localize.bootstrap import Bootstrap, Measured
from globalpool.localize.heatmaps import Maps, read_maps
from globalpool.localize.levels import THRESHOLDS, levels_of, min_max

Array = NDArray[Any]
Masks = Tensor | Array | Sequence[Any]


@dataclass(frozen=True)
class PixelPrecision:
    """PxAP over ``samples`` pictures, 0 to 1, beside the ``centre`` Gaussian and ``random``, the share of foreground.

    All pixels of all pictures are pooled, so large objects weigh more. It needs no threshold to be chosen.
    """

    samples: int
    precision: Measured
    centre: Measured
    random: Measured
    above_centre: Measured
    confidence: float

    def __str__(self) -> str:
        return (
            f"PxAP {self.precision} over {self.samples} pictures (intervals of {100 * self.confidence:g} %)\n"
            f"  centre baseline {self.centre}; above it {self.above_centre}\n"
            f"  random order {self.random}"
        )


def pixel_average_precision(
    maps: Maps,
    masks: Masks,
    *,
    ignore: Masks | None = None,
    thresholds: Array = THRESHOLDS,
    bootstrap: Bootstrap | None = None,
) -> PixelPrecision:
    """PxAP: ``sum over l of Prec(t_l) (Rec(t_l) - Rec(t_(l-1)))`` over falling ``thresholds``, ``value >= t``.

    ``maps``: ``(N, *S)`` or a list of ``(*S)``, each scaled to 0 .. 1 (a constant one to 0); ``masks``: bool of the
    same shapes, True = object; ``ignore``: bool, pixels that do not count unless they are object. As ``MaskEvaluator``
    of clovaai/wsolevaluation, whose figure is 100 times this. A picture without foreground counts with its background;
    LocalizationError where none has any. ``random`` is what an order without knowledge expects: the foreground's share.
    """
    bootstrap = bootstrap or Bootstrap()
    columns = pixel_columns("PxAP", maps, masks, ignore, thresholds)
    precision, middle, chance, above = bootstrap.measure(columns, pixel_statistic)
    return PixelPrecision(len(columns), precision, middle, chance, above, bootstrap.confidence)


def pixel_columns(where: str, maps: Maps, masks: Masks, ignore: Masks | None, thresholds: Array) -> Array:
    """Of each picture the histograms of its map, then of the centre's, ``(N, 2 * 2 (T + 2))``."""
    read = read_maps(where, maps)
    objects = read_masks(where, "masks", masks, read.shapes)
    counted = [np.ones(mask.shape, dtype=np.bool_) for mask in objects]
    if ignore is not None:
        left_out = read_masks(where, "ignore", ignore, read.shapes)
        counted = [~own for own in left_out]
    if not any(mask.any() for mask in objects):
        raise LocalizationError(where, "foreground in at least one mask", "none in any")
    own = [_histograms(min_max(m), o, c, thresholds) for m, o, c in zip(read.values, objects, counted, strict=True)]
    centre = [
        _histograms(min_max(centre_map(o.shape)), o, c, thresholds) for o, c in zip(objects, counted, strict=True)
    ]
    return np.concatenate([np.stack(own), np.stack(centre)], 1)


def pixel_statistic(mean: Array) -> Array:
    """Of mean columns ``(B, ...)``: average precision, the centre's, the foreground's share, and how far above."""
    width = mean.shape[1] // 2
    first, second = average_precision(mean[:, :width]), average_precision(mean[:, width:])
    halves = mean[:, :width].reshape(len(mean), 2, -1).sum(2)
    share = halves[:, 0] / halves.sum(1)
    return np.stack([first, second, share, first - second], 1)


def average_precision(histograms: Array) -> Array:
    """Of ``(B, 2 T')`` histograms, object then background by rising threshold: ``(B,)``; 0 without objects."""
    counts = histograms.reshape(len(histograms), 2, -1)[:, :, ::-1].cumsum(2)
    hit, false = counts[:, 0], counts[:, 1]
    found = hit + false
    precision = np.divide(hit, found, out=np.zeros_like(hit), where=found > 0)
    gained = np.diff(hit, axis=1, prepend=0)
    total = hit[:, -1]
    area: Array = np.divide((precision * gained).sum(1), total, out=np.zeros_like(total), where=total > 0)
    return area


def _histograms(values: Array, objects: Array, counted: Array, thresholds: Array) -> Array:
    """Pixels by the number of thresholds they reach, objects, then background.

    ``(2 (T + 2),)``: reaching none, ..., all of them, and 1, which the largest value of a map reaches.
    """
    edges = np.append(thresholds, 1.0)
    reached = levels_of(np.nextafter(values.astype(np.float64), np.inf), edges)  # t <= v is t < the next above v
    parts = [np.bincount(reached[where], minlength=len(edges) + 1) for where in (objects, counted & ~objects)]
    return np.concatenate(parts).astype(np.float64)


def read_masks(where: str, name: str, masks: Masks, shapes: list[tuple[int, ...]]) -> list[NDArray[np.bool_]]:
    """Bool arrays of the maps' shapes, or LocalizationError."""
    if len(masks) != len(shapes):
        raise LocalizationError(where, f"`{name}` of {len(shapes)} pictures, as many as maps", f"{len(masks)}")
    read = []
    for sample, (given, shape) in enumerate(zip(masks, shapes, strict=True)):
        mask = np.asarray(given.cpu() if isinstance(given, Tensor) else given)
        if mask.dtype != np.bool_ or mask.shape != shape:
            got = f"{mask.dtype} {mask.shape} for picture {sample}"
            raise LocalizationError(where, f"`{name}` as bool of the map's shape {shape}", got, "True means object.")
        read.append(mask)
    return read
