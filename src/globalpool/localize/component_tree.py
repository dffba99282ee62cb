"""The connected components of a map at all its thresholds, as one table."""

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from globalpool.localize.loops import fill
from globalpool.localize.sweep import highest, sweep, winners

Array = NDArray[Any]
Neighbours = Literal["corners", "faces"]


@dataclass(frozen=True, eq=False)
class ComponentTree:
    """``R`` components, each with the thresholds ``end <= t < begin`` at which it is ``levels > t``'s own.

    - ``end``, ``begin (R,)``: threshold numbers from 0 to ``top``;
    - ``boxes (R, 2, D)``: first index and past the last, on each axis of the map;
    - ``sizes (R,)``: sum of the pixels' weights (their number, unless told otherwise);
    - ``first (R,)``: where the component's first pixel stands in reading order; only its order means something.
    """

    end: Array
    begin: Array
    boxes: Array
    sizes: Array
    first: Array
    top: int

    @classmethod
    def of(cls, levels: Array, top: int, neighbours: Neighbours = "corners", weights: Array | None = None) -> Self:
        """The tree of ``levels``, integers 0 to ``top`` on a grid of one to three axes.

        ``neighbours``: "corners" joins pixels that share a corner (2, 8 or 26 neighbours), "faces" those that share a
        face (2, 4 or 6). ``weights``: as ``levels``, what each pixel adds to the size; None counts pixels.
        """
        grid = framed(levels, np.int32)
        counted = np.ones(grid.shape) if weights is None else framed(weights, np.float64)
        steps = flat_steps(grid.shape, neighbours)
        rows, columns = (1, 1, *grid.shape)[-2:]
        end, begin, boxes, sizes, first = sweep(grid.reshape(-1), counted.reshape(-1), steps, rows, columns, top)
        return cls(end, begin, boxes[:, :, 3 - levels.ndim :] - 1, sizes, first, top)

    def largest(self, ties: Literal["first", "last"] = "first") -> Array:
        """Row of the largest component at each threshold ``(top,)``, -1 without one; ties by reading order."""
        return winners(self.end, self.begin, self.sizes, self.first, self.top, ties == "last")

    def raise_to_best(self, scores: Array, best: Array) -> None:
        """Raise ``best (top,)`` in place to the highest of ``scores (R,)`` among the components at each threshold."""
        highest(self.end, self.begin, scores, best)

    def at(self, threshold: int) -> Array:
        """The rows of the components at one threshold."""
        return np.flatnonzero((self.end <= threshold) & (threshold < self.begin))

    def inner(self, shape: tuple[int, ...]) -> "ComponentTree":
        """Without the components that touch the border of the map."""
        kept = ((self.boxes[:, 0] > 0) & (self.boxes[:, 1] < np.array(shape))).all(1)
        return ComponentTree(
            self.end[kept], self.begin[kept], self.boxes[kept], self.sizes[kept], self.first[kept], self.top
        )

    def upside_down(self) -> "ComponentTree":
        """Of a tree made from ``top - levels``: the same components told by the thresholds of ``levels``."""
        return ComponentTree(self.top - self.begin, self.top - self.end, self.boxes, self.sizes, self.first, self.top)


def flat_steps(shape: tuple[int, ...], neighbours: Neighbours) -> Array:
    """Flat index steps to the neighbours on a grid of ``shape``, int64."""
    strides = np.array([int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))])
    steps = [step for step in product((-1, 0, 1), repeat=len(shape)) if any(step)]
    if neighbours == "faces":
        steps = [step for step in steps if sum(map(abs, step)) == 1]
    return np.array([int(np.dot(step, strides)) for step in steps])


def framed(values: Array, dtype: Any) -> Array:
    """``values`` with one zero more at both ends of every axis."""
    grid = np.zeros([side + 2 for side in values.shape], dtype=dtype)
    grid[(slice(1, -1),) * values.ndim] = values
    return grid


def without_holes(levels: Array, top: int) -> Array:
    """``levels`` such that every threshold's foreground is that of ``levels`` with its holes filled.

    A hole is background that no path over pixels sharing a face leads out of.
    """
    grid, inside = framed(levels, np.int32), framed(np.ones(levels.shape), np.bool_)
    filled = fill(grid.reshape(-1), flat_steps(grid.shape, "faces"), inside.reshape(-1), top)
    return np.ascontiguousarray(filled.reshape(grid.shape)[(slice(1, -1),) * levels.ndim])
