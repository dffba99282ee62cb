"""A region of interest as a score, and how much attention it gets."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from globalpool.errors import PoolError


class RegionOfInterest(nn.Module):
    """The score ``bias`` for positions whose centre lies in the box ``low <= u < high`` (or at 1), 0 elsewhere.

    Input ``(*, D)`` in [0, 1]; output ``(*, 1)``. In ``Attention(content=None)`` it gives n of N positions the mass
    ``n e^(bias/t) / (n e^(bias/t) + N - n)`` (``region_mass``), in the limit the mean over the region alone.
    ``bias``: a number, or a Parameter () to learn it.
    """

    def __init__(self, low: Sequence[float], high: Sequence[float], bias: float | nn.Parameter) -> None:
        super().__init__()
        if len(low) != len(high) or not low or not all(a < b for a, b in zip(low, high, strict=True)):
            got = f"{tuple(low)} to {tuple(high)}"
            raise PoolError("RegionOfInterest", "`low` below `high` on each axis", got, "As (0, 0), (0.5, 1).")
        single = isinstance(bias, nn.Parameter) and bias.ndim == 0
        if not single and not (isinstance(bias, int | float) and math.isfinite(bias)):
            raise PoolError("RegionOfInterest", "`bias` as a finite number or a Parameter ()", repr(bias))
        self.low, self.high, self.bias = tuple(low), tuple(high), bias

    def forward(self, coordinates: Tensor) -> Tensor:
        if coordinates.shape[-1] != len(self.low):
            raise PoolError("RegionOfInterest", f"positions with {len(self.low)} axes", f"{coordinates.shape[-1]}")
        low, high = coordinates.new_tensor(self.low), coordinates.new_tensor(self.high)
        below = (coordinates < high) | ((coordinates == high) & (high == 1))  # the outermost point lies at 1
        inside = ((coordinates >= low) & below).all(-1, keepdim=True)
        return inside.to(coordinates.dtype) * self.bias

    def extra_repr(self) -> str:
        bias = self.bias.item() if isinstance(self.bias, nn.Parameter) else self.bias
        return f"low={self.low}, high={self.high}, bias={bias:g}"


def region_mass(inside: int, total: int, bias: float, temperature: float = 1.0) -> float:
    """Attention on ``inside`` of ``total`` positions whose scores are ``bias`` above the others, which are equal."""
    if not 0 <= inside <= total or total < 1 or not temperature > 0:
        got = f"{inside} of {total} positions, temperature {temperature}"
        raise PoolError("region_mass", "a part of at least one position and a positive temperature", got)
    if inside == 0:
        return 0.0
    score = bias / temperature
    if score < 0:  # exp(-score) would overflow
        return inside * math.exp(score) / (inside * math.exp(score) + total - inside)
    return inside / (inside + (total - inside) * math.exp(-score))


def bias_for_mass(mass: float, inside: int, total: int) -> float:
    """``bias / temperature`` that gives ``inside`` of ``total`` positions that ``mass``; the inverse of region_mass."""
    if not 0 < mass < 1 or not 0 < inside < total:
        got = f"mass {mass}, {inside} of {total} positions"
        raise PoolError("bias_for_mass", "a mass between 0 and 1 and a part of the positions", got)
    return math.log(mass / (1 - mass) * (total - inside) / inside)
