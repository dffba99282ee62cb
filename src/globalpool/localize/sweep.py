"""Connected components at every threshold, from one sweep over the levels.

Pixels join from the highest level down; a union-find holds the components (the component tree or max-tree: Salembier,
Oliveras, Garrido, Antiextensive connected operators, 1998; by union-find: Najman, Couprie, Building the component
tree in quasi-linear time, 2006). A component is written down once for each range of thresholds over which it stays
the same, so what a search at each threshold would find again and again is found once.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.localize.compiled import compiled

Array = NDArray[Any]


@compiled
def sweep(
    levels: Array, weights: Array, offsets: Array, rows: int, columns: int, top: int
) -> tuple[Array, Array, Array, Array, Array]:
    """All components of ``levels > t`` for ``t`` in ``0 .. top - 1``.

    ``levels (P,)``: int32, 0 to ``top``, of a grid in reading order whose outermost pixels are 0 on every axis that
    ``offsets`` step along; ``weights (P,)``: float64, what each pixel adds to its component's size; ``offsets``: flat
    steps to the neighbours; ``rows``, ``columns``: the two last axes of the grid.

    Returns for ``R`` components: ``end``, ``begin (R,)``, present for ``end <= t < begin``; ``boxes (R, 2, 3)``, first
    and past the last index on each axis of the grid; ``sizes (R,)``; ``first (R,)``, the first pixel in reading order.
    """
    pixels = levels.size
    starts = np.zeros(top + 2, np.int64)
    for pixel in range(pixels):
        starts[top - levels[pixel] + 1] += 1
    for level in range(top + 1):
        starts[level + 1] += starts[level]
    inside = starts[top]
    order = np.empty(inside, np.int64)
    place = starts.copy()
    for pixel in range(pixels):
        if levels[pixel] > 0:
            slot = top - levels[pixel]
            order[place[slot]] = pixel
            place[slot] += 1
    parent = np.full(pixels, -1, np.int32)
    current = np.full(pixels, -1, np.int32)  # the row in which a root's component stands, -1 if it changed since
    box = np.empty((pixels, 2, 3), np.int32)
    size = np.empty(pixels, np.float64)
    earliest = np.empty(pixels, np.int32)
    end, begin = np.zeros(inside, np.int32), np.empty(inside, np.int32)
    boxes, sizes, first = np.empty((inside, 2, 3), np.int32), np.empty(inside, np.float64), np.empty(inside, np.int32)
    found = 0
    for slot in range(top):
        level = top - slot
        for index in range(starts[slot], starts[slot + 1]):
            pixel = order[index]
            line = pixel // columns
            depth, row, column = line // rows, line % rows, pixel % columns
            root = -1
            for step in offsets:
                other = pixel + step
                if parent[other] < 0 or parent[other] == root:  # not present, or not yet; or joined already
                    continue
                while parent[other] != other:
                    parent[other] = parent[parent[other]]
                    other = parent[other]
                if other == root:
                    continue
                if current[other] >= 0:
                    end[current[other]] = level
                    current[other] = -1
                if root < 0:
                    root = other
                    continue
                if size[other] > size[root]:
                    root, other = other, root
                parent[other] = root
                size[root] += size[other]
                earliest[root] = min(earliest[root], earliest[other])
                for axis in range(3):
                    box[root, 0, axis] = min(box[root, 0, axis], box[other, 0, axis])
                    box[root, 1, axis] = max(box[root, 1, axis], box[other, 1, axis])
            if root < 0:
                parent[pixel] = pixel
                size[pixel] = weights[pixel]
                earliest[pixel] = pixel
                box[pixel, 0] = depth, row, column
                box[pixel, 1] = depth + 1, row + 1, column + 1
            else:
                parent[pixel] = root
                size[root] += weights[pixel]
                earliest[root] = min(earliest[root], pixel)
                box[root, 0, 0] = min(box[root, 0, 0], depth)
                box[root, 0, 1] = min(box[root, 0, 1], row)
                box[root, 0, 2] = min(box[root, 0, 2], column)
                box[root, 1, 0] = max(box[root, 1, 0], depth + 1)
                box[root, 1, 1] = max(box[root, 1, 1], row + 1)
                box[root, 1, 2] = max(box[root, 1, 2], column + 1)
        for index in range(starts[slot], starts[slot + 1]):
            root = order[index]
            while parent[root] != root:
                parent[root] = parent[parent[root]]
                root = parent[root]
            if current[root] < 0:
                current[root] = found
                begin[found] = level
                sizes[found] = size[root]
                first[found] = earliest[root]
                boxes[found] = box[root]
                found += 1
    return end[:found].copy(), begin[:found].copy(), boxes[:found].copy(), sizes[:found].copy(), first[:found].copy()


@compiled
def winners(end: Array, begin: Array, sizes: Array, first: Array, top: int, last: bool) -> Array:
    """The row of the largest component at each threshold ``(top,)``, -1 where there is none.

    Of equally large ones that which starts first in reading order, or with ``last`` that which starts last.
    """
    best = np.full(top, -1, np.int64)
    for row in range(end.size):
        for threshold in range(end[row], begin[row]):
            held = best[threshold]
            later = held >= 0 and first[row] > first[held]
            if held < 0 or sizes[row] > sizes[held] or (sizes[row] == sizes[held] and later == last):
                best[threshold] = row
    return best


@compiled
def highest(end: Array, begin: Array, scores: Array, best: Array) -> None:
    """Raise ``best (top,)`` in place to the highest score of the components present at each threshold."""
    for row in range(end.size):
        for threshold in range(end[row], begin[row]):
            if scores[row] > best[threshold]:
                best[threshold] = scores[row]
