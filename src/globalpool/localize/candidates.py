"""The boxes a map offers at every threshold, and how well they meet the true ones."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from globalpool.localize.boxes import overlap
from globalpool.localize.component_tree import ComponentTree, without_holes
from globalpool.localize.levels import byte_levels, levels_of, min_max
from globalpool.localize.loops import polygon_halves

Array = NDArray[Any]
Keep = Literal["largest", "all"]
Definition = Literal["exact", "reference"]


@dataclass(frozen=True, eq=False)
class Candidates:
    """``trees``: components with the boxes ``(R, 2, D)`` they stand for; at a threshold all that are present count.

    ``rows (T',)``: where only one counts, its row in the first tree, -1 for none. ``which (T,)``: the distinct
    threshold each one asked for equals. ``inclusive``: the reference's lengths, and its pixel (0, 0) where nothing is.
    """

    trees: tuple[tuple[ComponentTree, Array], ...]
    rows: Array | None
    which: Array
    inclusive: bool

    def overlaps(self, true: Array) -> Array:
        """The best intersection over union with any of the true boxes ``(M, 2, D)`` at each threshold, ``(T,)``."""
        nothing = 0.0
        if self.inclusive:
            nothing = float(overlap(np.zeros_like(true[:1]), true, inclusive=True).max())
        best = np.full(self.trees[0][0].top, -1.0)
        if self.rows is not None:
            present = self.rows >= 0
            different, back = np.unique(self.rows[present], return_inverse=True)
            best[present] = overlap(self.trees[0][1][different], true, self.inclusive).max(1, initial=0)[back]
        else:
            for tree, boxes in self.trees:
                tree.raise_to_best(overlap(boxes, true, self.inclusive).max(1, initial=0), best)
        return np.where(best < 0, nothing, best)[self.which]


def candidates(values: Array, thresholds: Array, keep: Keep, definition: Definition) -> Candidates:
    """Those of a map ``(*S)`` at rising ``thresholds (T,)``, shares of its range.

    ``keep``: "largest", the box of the largest component; "all", the box of each.

    ``definition`` "exact": the map is scaled to 0 .. 1, foreground is what exceeds the threshold, components join at
    corners, the largest has most pixels (of equals the first in reading order), boxes are half-open, and where there
    is no foreground there is no box. "reference": see ``reference_candidates``.
    """
    if definition == "reference":
        return reference_candidates(values, thresholds, keep)
    return of_levels(levels_of(min_max(values), thresholds), len(thresholds), keep)


def of_levels(levels: Array, top: int, keep: Keep) -> Candidates:
    """The exact definition from the number of thresholds that each pixel exceeds."""
    tree = ComponentTree.of(levels, top)
    rows = tree.largest() if keep == "largest" else None
    return Candidates(((tree, tree.boxes),), rows, np.arange(top), inclusive=False)


def reference_candidates(values: Array, thresholds: Array, keep: Keep) -> Candidates:
    """As ``compute_bboxes_from_scoremaps``, ``calculate_multiple_iou`` of clovaai/wsolevaluation (Choe et al., 2020).

    For maps of two axes. Byte levels (``byte_levels``); contours as OpenCV's ``findContours`` finds them, outlines of
    8-connected components and of their holes. "largest": the contour of the largest polygon area through the centres
    of its pixels, holes counted in, a line having none, of equals the last in reading order. (Of 2 x 2 pixels all four
    give that area 1 and three give it 1/2, so each pixel's share is known before any component is.) "all": every
    contour, holes too. A contour from pixel ``x`` to ``x + w - 1`` is the box ``x .. min(x + w, side - 1)``; where
    there is none it is pixel (0, 0). Lengths count both ends. A true box is ``(x, y, x + width, y + height)`` there.
    """
    levels, top, which = byte_levels(min_max(values), thresholds)
    last = np.array(values.shape) - 1
    if keep == "largest":
        filled = without_holes(levels, top)
        tree = ComponentTree.of(filled, top, weights=polygon_halves(filled))
        return Candidates(((tree, _closed(tree.boxes, last)),), tree.largest("last"), which, inclusive=True)
    outlines = ComponentTree.of(levels, top)
    holes = ComponentTree.of(top - levels, top, "faces").inner(values.shape).upside_down()
    around = holes.boxes + np.array([[-1], [1]])  # a hole's contour runs over the pixels that surround it
    trees = ((outlines, _closed(outlines.boxes, last)), (holes, _closed(around, last)))
    return Candidates(trees, None, which, inclusive=True)


def _closed(boxes: Array, last: Array) -> Array:
    """Half-open boxes ``(R, 2, D)`` as the reference has them: the end is past the last pixel but on the map."""
    return np.stack([boxes[:, 0], np.minimum(boxes[:, 1], last)], 1)
