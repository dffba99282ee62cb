"""At which size a picture goes in: one side for all, its own, or the nearest of a few shapes. Nothing is cropped."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import DataError

#: From a picture's height and width to those of the input.
SizePolicy = Callable[[tuple[int, int]], tuple[int, int]]
#: What a change of the aspect ratio counts against a change of scale by the same factor.
ASPECT = 4.0


@dataclass(frozen=True)
class Fixed:
    """Every picture at ``side`` x ``side`` pixels, squeezed where it is no square."""

    side: int

    def __call__(self, size: tuple[int, int]) -> tuple[int, int]:
        """``(side, side)``."""
        return self.side, self.side


@dataclass(frozen=True)
class Native:
    """Every picture at its own size; pictures of one size share a part of a batch."""

    def __call__(self, size: tuple[int, int]) -> tuple[int, int]:
        """``size``."""
        return size


@dataclass(frozen=True)
class Buckets:
    """Every picture at one of ``shapes``, whichever changes its aspect ratio, and then its scale, least.

    A picture larger than the largest shape is first thought reduced to as many pixels, so that its aspect ratio
    decides. Distances are squared logarithms of ratios, those of the aspect ratio ``ASPECT``-fold.
    """

    shapes: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not self.shapes or any(side < 1 for shape in self.shapes for side in shape):
            raise DataError("Buckets", "one or more shapes (height, width) in pixels", f"{self.shapes}")

    @classmethod
    def of(cls, sizes: Iterable[tuple[int, int]], *, pixels: int, stride: int = 32, count: int = 8) -> Self:
        """At most ``count`` shapes for pictures of ``sizes``: multiples of ``stride``, of at most ``pixels`` pixels.

        Candidates are the multiples around each picture's size within the budget; they are taken one by one, each
        time the one that lowers the sum of all pictures' distances most.
        """
        if stride < 1 or count < 1 or pixels < stride * stride:
            got = f"pixels={pixels}, stride={stride}, count={count}"
            raise DataError("Buckets.of", f"a count of 1 or more and pixels of at least stride^2 = {stride**2}", got)
        weights = Counter((int(height), int(width)) for height, width in sizes)
        if not weights:
            raise DataError("Buckets.of", "the size of at least one picture", "none")
        known = sorted(weights)
        shapes = sorted({shape for size in known for shape in _around(size, pixels, stride)})
        distance = _distances(known, shapes, pixels) * np.array([weights[size] for size in known])[:, None]
        chosen: list[int] = []
        best = np.full(len(known), math.inf)
        while len(chosen) < min(count, len(shapes)):
            sums = np.minimum(best[:, None], distance).sum(0)
            take = int(sums.argmin())
            if chosen and not sums[take] < best.sum():
                break
            chosen.append(take)
            best = np.minimum(best, distance[:, take])
        return cls(tuple(sorted(shapes[number] for number in chosen)))

    def __call__(self, size: tuple[int, int]) -> tuple[int, int]:
        """The shape for a picture of that height and width."""
        budget = max(height * width for height, width in self.shapes)
        return self.shapes[int(_distances([size], list(self.shapes), budget)[0].argmin())]


def _around(size: tuple[int, int], pixels: int, stride: int) -> list[tuple[int, int]]:
    """The multiples of ``stride`` just below and above each side of a picture reduced to the budget."""
    height, width = _reduced(size, pixels)
    sides = [
        {max(stride, rounded(side / stride) * stride) for rounded in (math.floor, math.ceil)}
        for side in (height, width)
    ]
    found = [(h, w) for h in sorted(sides[0]) for w in sorted(sides[1]) if h * w <= pixels]
    longest = pixels // stride // stride * stride  # of a strip one stride wide
    return found or [(stride, longest) if width > height else (longest, stride)]


def _reduced(size: tuple[int, int], pixels: int) -> tuple[float, float]:
    factor = min(1.0, math.sqrt(pixels / (size[0] * size[1])))
    return size[0] * factor, size[1] * factor


def _distances(sizes: list[tuple[int, int]], shapes: list[tuple[int, int]], pixels: int) -> NDArray[np.float64]:
    mine = np.log([_reduced(size, pixels) for size in sizes])[:, None]
    theirs = np.log(np.array(shapes, dtype=np.float64))[None]
    change = theirs - mine
    distance: NDArray[np.float64] = ASPECT * np.square(change[..., 0] - change[..., 1]) + np.square(change.sum(-1))
    return distance
