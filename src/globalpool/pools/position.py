"""Scores that depend on where a position lies in its sample."""

from itertools import product

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError


class PositionGrid(nn.Module):
    """A learned table of scores, one a cell and head, read by multilinear interpolation at any resolution.

    Input ``(*, D)`` in [0, 1], the centre of each position relative to its sample; output ``(*, heads)``. At the
    table's own resolution the scores are its entries; beyond the outermost centres they are constant. Starts at 0.
    """

    def __init__(self, *shape: int, heads: int = 1) -> None:
        super().__init__()
        if not shape or not all(isinstance(side, int) and side > 0 for side in shape):
            raise PoolError("PositionGrid", "one positive side for each axis", str(shape), "As PositionGrid(7, 7).")
        self.table = nn.Parameter(torch.zeros(*shape, heads))

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
