"""Boxes: one convention at the door, first and past-the-last indices inside, and how much two of them overlap.

At the door a box is ``(x, y, width, height)`` in pixels, half-open: it holds the pixels ``x <= column < x + width``,
``y <= row < y + height``. In 1-D it is ``(start, length)``, in 3-D ``(x, y, z, width, height, depth)``: x along the
map's last axis, z along its first. Inside it is ``(2, D)``: first and past the last index, in the order of the axes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from globalpool.errors import LocalizationError

Array = NDArray[Any]
#: One box a picture ``(N, 2D)``, or for each picture one ``(2D,)`` or several ``(M, 2D)``.
Boxes = Tensor | Array | Sequence[Any]


def to_corners(boxes: Array) -> Array:
    """``(..., 2D)`` as at the door -> ``(..., 2, D)``."""
    axes = boxes.shape[-1] // 2
    start, length = boxes[..., :axes][..., ::-1], boxes[..., axes:][..., ::-1]
    return np.stack([start, start + length], -2)


def from_corners(corners: Array) -> Array:
    """``(..., 2, D)`` -> ``(..., 2D)`` as at the door."""
    start, stop = corners[..., 0, :], corners[..., 1, :]
    return np.concatenate([start[..., ::-1], (stop - start)[..., ::-1]], -1)


def read_boxes(where: str, boxes: Boxes, samples: int, axes: int) -> list[Array]:
    """The boxes of each picture, ``(M, 2, D)`` float64 with M >= 1; LocalizationError for what is no box."""
    if len(boxes) != samples:
        raise LocalizationError(where, f"boxes of {samples} pictures, as many as maps", f"those of {len(boxes)}")
    read = []
    for sample, given in enumerate(boxes):
        rows = np.asarray(given, dtype=np.float64)
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.shape[1] != 2 * axes or len(rows) == 0:
            hint = "In 2-D a box is (x, y, width, height), half-open, in pixels of the map."
            expected = f"one box ({2 * axes},) or several (M, {2 * axes}) for a map of {axes} axes"
            raise LocalizationError(where, expected, f"{rows.shape} for picture {sample}", hint)
        if not np.isfinite(rows).all() or (rows[:, axes:] <= 0).any():
            raise LocalizationError(
                where, "finite boxes of positive lengths", f"{rows.tolist()[0]} for picture {sample}"
            )
        read.append(to_corners(rows))
    return read


def overlap(found: Array, true: Array, inclusive: bool = False) -> Array:
    """Intersection over union ``(A, B)`` of boxes ``(A, 2, D)`` and ``(B, 2, D)``; 0 where both are empty.

    ``inclusive``: the second index belongs to the box, as in the reference protocol, whose lengths are one larger.
    """
    one = 1 if inclusive else 0
    low = np.maximum(found[:, None, 0], true[None, :, 0])
    high = np.minimum(found[:, None, 1], true[None, :, 1])
    common = np.maximum(0, high - low + one).prod(-1)
    areas = [(boxes[:, 1] - boxes[:, 0] + one).prod(-1) for boxes in (found, true)]
    union = areas[0][:, None] + areas[1][None] - common
    ratio: Array = np.where(union > 0, common / np.where(union > 0, union, 1), 0.0)
    return ratio


def box_masks(boxes: Boxes, shapes: Sequence[Sequence[int]]) -> list[NDArray[np.bool_]]:
    """For each picture a mask of its ``shape``, True inside any of its boxes (rounded outwards to whole pixels)."""
    masks = []
    for shape, corners in zip(shapes, boxes, strict=True):
        mask = np.zeros(tuple(shape), dtype=np.bool_)
        for box in read_boxes("box_masks", [corners], 1, mask.ndim)[0]:
            low, high = np.floor(box[0]).clip(min=0).astype(int), np.ceil(box[1]).clip(min=0).astype(int)
            mask[tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))] = True
        masks.append(mask)
    return masks
