"""Disturbances of amplitude one on a grid: from the highest frequency to none at all."""

from collections.abc import Sequence

import torch
from torch import Tensor

#: Side of the blobs of "blobs", as a share of each axis.
BLOBS = 4
AXES = ("rows", "columns", "planes")


def checkerboard(size: Sequence[int]) -> Tensor:
    """``(*size)`` float64: ``(-1)^(i + j + ...)``."""
    total = torch.zeros(tuple(size), dtype=torch.float64)
    for axis in range(len(size)):
        total = total + _along(size, axis)
    return 1 - 2 * (total % 2)


def alternating(size: Sequence[int], axis: int) -> Tensor:
    """``(*size)``: ``(-1)^i`` along one axis, the same along the others."""
    return (1 - 2 * (_along(size, axis) % 2)).expand(tuple(size)).clone()


def patterns(size: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    """By name, ``(*size)`` float64 of values -1 and 1; on one axis the checkerboard is the only alternation."""
    found = {"checkerboard": checkerboard(size)}
    if len(size) > 1:
        names = AXES[: len(size)] if len(size) == 2 else ("planes", "rows", "columns")
        found |= {f"alternating {name}": alternating(size, axis) for axis, name in enumerate(names)}
    found["random sign"] = _signs(tuple(size), generator)
    coarse = _signs(tuple(min(BLOBS, side) for side in size), generator)
    for axis, side in enumerate(size):
        coarse = coarse.index_select(axis, torch.arange(side) * coarse.shape[axis] // side)
    found["blobs (low-pass)"] = coarse
    found["constant"] = torch.ones(tuple(size), dtype=torch.float64)
    return found


def _along(size: Sequence[int], axis: int) -> Tensor:
    shape = [-1 if other == axis else 1 for other in range(len(size))]
    return torch.arange(size[axis], dtype=torch.float64).reshape(shape)


def _signs(size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(0, 2, size, generator=generator).double() - 1
