"""Where things go on a canvas: drawn without looking at any picture, so that the draws can be tested alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from globalpool.errors import DataError

#: Canvas sides, in pixels.
SIDES = (48, 64, 80, 96, 112, 128)
#: Longer side of a digit: at least, and at most where the canvas allows it; side of a fragment: from, to.
SMALLEST, LARGEST = 24, 64
FRAGMENT = (5, 8)
#: Width of a panorama over its height.
ASPECT = 4
#: "outer": the box's centre lies in this share of the axis at either end.
MARGIN = 0.2

Shape = Literal["square", "panorama"]
Place = Literal["anywhere", "outer", "centre"]
#: A side, which ``Shape`` makes a canvas of, or height and width.
Size = int | tuple[int, int]


@dataclass(frozen=True)
class Canvas:
    """Height and width in pixels, and the longest side its digit may have."""

    height: int
    width: int
    longest: int


def canvases(sizes: Sequence[Size], shape: Shape, place: Place) -> tuple[Canvas, ...]:
    """The canvases to draw from; DataError where a digit of ``SMALLEST`` pixels cannot be put as asked."""
    if shape not in ("square", "panorama"):
        raise DataError("canvas_digits", '`shape` "square" or "panorama"', repr(shape))
    if place not in ("anywhere", "outer", "centre"):
        raise DataError("canvas_digits", '`place` "anywhere", "outer" or "centre"', repr(place))
    given = list(sizes) if isinstance(sizes, Sequence) and not isinstance(sizes, str) else []
    if not given or not all(_is_side(size) or _is_pair(size) for size in given):
        expected = "`sizes` as one or more whole numbers of pixels, or pairs (height, width) of them"
        raise DataError("canvas_digits", expected, repr(sizes))
    found = []
    for size in given:
        if isinstance(size, tuple | list):
            height, width = int(size[0]), int(size[1])
        else:
            height, width = int(size), int(size) * (ASPECT if shape == "panorama" else 1)
        longest = shorter = min(height, width, LARGEST)
        if place == "outer":
            longest = min(shorter, int(2 * MARGIN * max(height, width)))
        if longest < SMALLEST:
            least = SMALLEST if longest == shorter else int(np.ceil(SMALLEST / (2 * MARGIN)))
            hint = f'A digit of {SMALLEST} px has to fit; place="{place}" needs sides of at least {least} px.'
            raise DataError("canvas_digits", f"`sizes` of at least {least} px", f"{size}", hint)
        found.append(Canvas(height, width, longest))
    return tuple(found)


def _is_side(size: object) -> bool:
    return isinstance(size, int | np.integer) and not isinstance(size, bool)


def _is_pair(size: object) -> bool:
    return isinstance(size, tuple | list) and len(size) == 2 and all(_is_side(side) for side in size)


def digit_place(random: np.random.Generator, canvas: Canvas, height: int, width: int, place: Place) -> tuple[int, int]:
    """The upper left corner ``(row, column)`` of a box of ``height`` x ``width``, uniform over all that are allowed.

    "anywhere": wholly on the canvas. "outer": and the box's centre in the outer ``MARGIN`` of the longer axis at either
    end; on a square canvas of the width or of the height. "centre": in the middle, rounded down.
    """
    rows, columns = canvas.height - height + 1, canvas.width - width + 1
    if place == "centre":
        return (rows - 1) // 2, (columns - 1) // 2
    if place == "anywhere":
        return int(random.integers(rows)), int(random.integers(columns))
    allowed = np.zeros((rows, columns), dtype=np.bool_)
    if canvas.width >= canvas.height:
        allowed |= _outer(columns, width, canvas.width)
    if canvas.height >= canvas.width:
        allowed |= _outer(rows, height, canvas.height)[:, None]
    row, column = divmod(int(random.choice(np.flatnonzero(allowed))), columns)
    return row, column


def _outer(positions: int, length: int, side: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which first pixels put the middle of ``length`` pixels into the outer share of ``side``."""
    middle = np.arange(positions) + length / 2
    return (middle <= MARGIN * side) | (middle >= (1 - MARGIN) * side)


def fragment_place(random: np.random.Generator, canvas: Canvas) -> tuple[int, int, int]:
    """Side, row and column of a fragment: the side uniform in ``FRAGMENT``, the place uniform on the canvas."""
    side = int(random.integers(FRAGMENT[0], FRAGMENT[1] + 1))
    return side, int(random.integers(canvas.height - side + 1)), int(random.integers(canvas.width - side + 1))
