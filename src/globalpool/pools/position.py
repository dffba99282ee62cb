"""Scores that depend on where a position lies in its sample."""

import math
from itertools import product

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.pools.base import check_whole


class PositionGrid(nn.Module):
    """A learned table of scores, one a cell and head, read by multilinear interpolation at any resolution.

    Input ``(*, D)`` in [0, 1], the centre of each position relative to its sample; output ``(*, heads)``. At the
    table's own resolution the scores are its entries; beyond the outermost centres they are constant. Starts at 0, or
    normally distributed with deviation ``std``.
    """

    def __init__(self, *shape: int, heads: int = 1, std: float = 0.0) -> None:
        super().__init__()
        if not shape or not all(isinstance(side, int) and side > 0 for side in shape):
            raise PoolError("PositionGrid", "one positive side for each axis", str(shape), "As PositionGrid(7, 7).")
        self.table = nn.Parameter(torch.randn(*shape, heads) * std)

    def forward(self, coordinates: Tensor) -> Tensor:
        shape = self.table.shape[:-1]
        if coordinates.shape[-1] != len(shape):
            raise PoolError("PositionGrid", f"positions with {len(shape)} axes", f"{coordinates.shape[-1]}")
        corners = []
        for axis, side in enumerate(shape):
            place = (coordinates[..., axis] * side - 0.5).clamp(0, side - 1)
            low = place.floor().long().clamp(max=max(side - 2, 0))
            high = (low + 1).clamp(max=side - 1)
            fraction = (place - low).unsqueeze(-1)
            corners.append(((low, 1 - fraction), (high, fraction)))
        scores = coordinates.new_zeros((*coordinates.shape[:-1], self.table.shape[-1]))
        for corner in product(*corners):
            value = self.table[tuple(index for index, _ in corner)].to(scores.dtype)
            for _, share in corner:
                value = value * share
            scores = scores + value
        return scores


class PositionSine(nn.Module):
    """A learned weight for each of the waves ``cos(pi f u)`` and ``sin(pi f u)``, ``f = 1 .. waves``, of each axis.

    Input ``(*, D)`` in [0, 1], the centre of each position relative to its sample; output ``(*, heads)``. Smooth and
    of any size by construction; ``f = 1`` tells one end of an axis from the other, higher ones stripes ever finer. The
    axes add: a corner against the rest needs ``PositionGrid``. Starts at 0, or normally distributed with deviation
    ``std``. Waves over coordinates as in Vaswani et al. (2017), section 3.5, here over the sample's own extent.
    """

    def __init__(self, axes: int, waves: int = 4, heads: int = 1, std: float = 0.0) -> None:
        super().__init__()
        for name, number in (("axes", axes), ("waves", waves), ("heads", heads)):
            check_whole("PositionSine", name, number)
        self.axes, self.waves = axes, waves
        self.weight = nn.Parameter(torch.randn(axes, 2 * waves, heads) * std)

    def forward(self, coordinates: Tensor) -> Tensor:
        if coordinates.shape[-1] != self.axes:
            raise PoolError("PositionSine", f"positions with {self.axes} axes", f"{coordinates.shape[-1]}")
        frequency = torch.arange(1, self.waves + 1, dtype=coordinates.dtype, device=coordinates.device)
        phase = coordinates.unsqueeze(-1) * frequency * math.pi
        waves = torch.cat([phase.cos(), phase.sin()], -1).unsqueeze(-1)
        return (waves * self.weight.to(waves.dtype)).sum((-3, -2))

    def extra_repr(self) -> str:
        return f"axes={self.axes}, waves={self.waves}"
