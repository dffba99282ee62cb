"""The parts of a judgement by boxes: what is asked, and how well one method's boxes meet the true ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import LocalizationError
from globalpool.localize.baselines import centre_map
from globalpool.localize.bootstrap import Bootstrap
from globalpool.localize.boxes import Boxes, read_boxes
from globalpool.localize.candidates import Candidates, Definition, Keep, candidates, of_levels
from globalpool.localize.heatmaps import Heatmaps, Maps, read_maps
from globalpool.localize.levels import THRESHOLDS

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class BoxProtocol:
    """What is asked: ``iou``, the overlaps demanded; ``keep`` and ``definition``, see ``candidates``.

    ``thresholds (T,)``: rising shares of each map's range, 0 to below 1; ``bootstrap``: how intervals are drawn.
    """

    iou: Sequence[float] = (0.5,)
    keep: Keep = "largest"
    definition: Definition = "exact"
    thresholds: Array = field(default_factory=lambda: THRESHOLDS)
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    def __post_init__(self) -> None:
        if not self.iou or not all(0 < least <= 1 for least in self.iou):
            raise LocalizationError("BoxProtocol", "`iou` above 0 and at most 1, one or more", str(self.iou))
        if self.keep not in ("largest", "all"):
            raise LocalizationError("BoxProtocol", '`keep` "largest" or "all"', repr(self.keep))
        if self.definition not in ("exact", "reference"):
            raise LocalizationError("BoxProtocol", '`definition` "exact" or "reference"', repr(self.definition))
        rising = np.asarray(self.thresholds, dtype=np.float64)
        object.__setattr__(self, "thresholds", rising)
        if (
            rising.ndim != 1
            or not rising.size
            or not ((rising >= 0) & (rising < 1)).all()
            or (np.diff(rising) <= 0).any()
        ):
            expected = "`thresholds` that rise from 0 or more to below 1"
            raise LocalizationError("BoxProtocol", expected, f"{rising.flatten()[:4].tolist()} ...")

    def at(self, threshold: float) -> "BoxProtocol":
        """The same with one threshold."""
        return replace(self, thresholds=np.array([threshold]))

    def read(self, where: str, maps: Maps, boxes: Boxes) -> tuple[Heatmaps, list[Array]]:
        """Maps and true boxes ``(M, 2, D)``, checked. The reference takes NaN for a map without foreground."""
        read = read_maps(where, maps, nan=self.definition == "reference")
        if self.definition == "reference" and read.axes != 2:
            raise LocalizationError(where, "maps of two axes for the reference definition", f"{read.axes}")
        return read, read_boxes(where, boxes, len(read), read.axes)

    def met(self, read: Heatmaps, true: list[Array]) -> Array:
        """Best overlap of each picture at each threshold, ``(N, T)``."""
        offered = partial(candidates, thresholds=self.thresholds, keep=self.keep, definition=self.definition)
        return np.stack([offered(values).overlaps(own) for values, own in zip(read.values, true, strict=True)])

    def met_by_centre(self, read: Heatmaps, true: list[Array]) -> Array:
        """The same for the centre baseline, whose boxes depend on a picture's shape alone."""
        offered: dict[tuple[int, ...], Candidates] = {}
        for shape in set(read.shapes):
            offered[shape] = candidates(centre_map(shape), self.thresholds, self.keep, self.definition)
        return np.stack([offered[shape].overlaps(own) for shape, own in zip(read.shapes, true, strict=True)])

    def met_above_zero(self, read: Heatmaps, true: list[Array]) -> Array:
        """Best overlap of each picture ``(N,)`` with the foreground ``map > 0``; by the exact definition."""
        levels = [(values > 0).astype(np.int32) for values in read.values]
        return np.array(
            [of_levels(own, 1, self.keep).overlaps(boxes)[0] for own, boxes in zip(levels, true, strict=True)]
        )

    def best(self, met: Array) -> Array:
        """For each demanded overlap the number of the best threshold; of equally good ones the middle one."""
        best = []
        for least in self.iou:
            right = (met >= least).sum(0)
            tied = np.flatnonzero(right == right.max())
            best.append(tied[len(tied) // 2])
        return np.array(best)
