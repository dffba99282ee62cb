"""From maps to foreground, components and boxes."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import LocalizationError
from globalpool.localize.boxes import from_corners
from globalpool.localize.candidates import Keep
from globalpool.localize.component_tree import ComponentTree
from globalpool.localize.conformal import ConformalThreshold, Scale, calibrate, scaled
from globalpool.localize.heatmaps import Maps, read_maps
from globalpool.localize.pixels import Masks

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Components:
    """Connected foreground of one picture, largest first (of equals the first in reading order).

    ``boxes (M, 2D)``: ``(x, y, width, height)`` half-open, int64; ``sizes (M,)``: pixels.
    """

    boxes: Array
    sizes: Array


@dataclass(frozen=True, eq=False)
class Foreground:
    """``masks``: for each picture bool ``(*S)``, ``map > threshold.value``; ``threshold``: what was promised for it.

    ``origin``: "conformal" (with a guarantee), "given" (a number of yours) or "zero" (``evidence > 0``).
    """

    masks: tuple[NDArray[np.bool_], ...]
    origin: Literal["conformal", "given", "zero"]
    threshold: ConformalThreshold | float

    def components(self) -> list[Components]:
        """Of each picture; pixels that share a corner are connected."""
        return [components(mask) for mask in self.masks]

    def boxes(self, keep: Keep = "largest") -> list[Array]:
        """Of each picture ``(M, 2D)``: of the largest component (M is 1, or 0 without foreground), or of all."""
        count = 1 if keep == "largest" else None
        return [found.boxes[:count] for found in self.components()]

    def __str__(self) -> str:
        share = np.mean([mask.mean() for mask in self.masks])
        empty = sum(not mask.any() for mask in self.masks)
        stated = f"{self.threshold}" if self.origin == "conformal" else f"threshold {self.threshold:g} ({self.origin})"
        return f"foreground {100 * share:.1f} % of {len(self.masks)} pictures, {empty} without any; {stated}"


def foreground(
    maps: Maps,
    threshold: ConformalThreshold | float | Literal["zero"] | None = None,
    *,
    calibration: tuple[Maps, Masks] | None = None,
    alpha: float = 0.1,
    scale: Scale = "min-max",
) -> Foreground:
    """Where ``map > threshold``; by default with a threshold that misses at most ``alpha`` of an object in expectation.

    ``maps``: ``(N, *S)``, a list of ``(*S)``, or ``heatmaps(evidence, size)``. ``calibration``: maps and object
    masks of other pictures, from which the threshold comes (see ``calibrate``). Or ``threshold``: the result of an
    earlier ``calibrate``, a number in ``scale``, or "zero": evidence for against evidence against, which only contrast
    and centered evidence tells apart (EvidenceError otherwise). LocalizationError without either.
    """
    read = read_maps("foreground", maps)
    if (threshold is None) == (calibration is None):
        hint = "The default threshold has a guarantee, which needs pictures whose objects are known."
        got = "neither" if threshold is None else "both"
        raise LocalizationError("foreground", "`calibration` (maps, masks) or a `threshold`", got, hint)
    if calibration is not None:
        threshold = calibrate(*calibration, alpha=alpha, scale=scale)
    if isinstance(threshold, ConformalThreshold):
        masks = [values > threshold.value for values in scaled(read.values, threshold.scale)]
        return Foreground(tuple(masks), "conformal", threshold)
    if threshold == "zero":
        read.require_zero("foreground")
        return Foreground(tuple(values > 0 for values in read.values), "zero", 0.0)
    if isinstance(threshold, bool | str) or not isinstance(threshold, int | float | np.floating):
        expected = '`threshold` as a number, "zero" or the result of `calibrate`'
        raise LocalizationError("foreground", expected, repr(threshold))
    limit = float(threshold)
    return Foreground(tuple(values > limit for values in scaled(read.values, scale)), "given", limit)


def components(mask: Array) -> Components:
    """The connected components of a bool mask ``(*S)`` of 1 to 3 axes; pixels that share a corner are connected."""
    if mask.dtype != np.bool_ or mask.ndim not in (1, 2, 3):
        raise LocalizationError("components", "a bool mask of 1 to 3 axes", f"{mask.dtype} {mask.shape}")
    tree = ComponentTree.of(mask.astype(np.int32), 1)
    order = np.lexsort((tree.first, -tree.sizes))
    return Components(from_corners(tree.boxes[order].astype(np.int64)), tree.sizes[order].astype(np.int64))
