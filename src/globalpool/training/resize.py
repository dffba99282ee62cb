"""Batches at another resolution."""

from collections.abc import Sequence

import torch
from torch import Tensor

from globalpool.errors import TrainingError

MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def check_sides(where: str, sides: Sequence[int]) -> tuple[int, ...]:
    """``sides`` as a tuple; raises TrainingError unless they are positive whole numbers, one or more."""
    if not sides or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        raise TrainingError(where, "one or more sides in pixels, as (96, 128)", repr(sides))
    return tuple(sides)


def shape_of(size: Sequence[int], side: int) -> tuple[int, ...]:
    """``size`` scaled, its proportions kept, to the area of a square (in 3-D: the volume of a cube) of ``side``."""
    factor = float(torch.tensor(size, dtype=torch.float64).log().mean().exp())
    return tuple(max(1, round(length * side / factor)) for length in size)


def resized(part: Tensor, side: int) -> Tensor:
    """``(n, C, *S)`` at the area of a square of ``side``, bilinear; pictures are antialiased where they shrink.

    The part itself where it has that size already.
    """
    size = shape_of(part.shape[2:], side)
    if size == tuple(part.shape[2:]):
        return part
    if part.ndim - 2 not in MODES:
        raise TrainingError("resized", "inputs (n, C, *S) with one to three spatial axes", str(tuple(part.shape)))
    # torch has antialiasing for pictures alone.
    return torch.nn.functional.interpolate(
        part, size, mode=MODES[part.ndim - 2], align_corners=False, antialias=part.ndim == 4
    )
