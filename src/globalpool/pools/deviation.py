"""The deviation as a signed weighted sum, for the pools that give one."""

import math

import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools.base import Parts


def check_eps(where: str, eps: float) -> None:
    """Raise unless ``eps`` is a finite number that is not negative."""
    if not isinstance(eps, int | float) or not (math.isfinite(eps) and eps >= 0):
        raise PoolError(where, "`eps` as a finite number, 0 or more, in squared feature units", repr(eps))


class Spread:
    """Means under ``weights`` (``mid = (R, 1)``, not negative, summing to one), then as many deviations.

    ``s = sqrt(sum_p w (x - m)^2 + eps)`` has the weights ``w (x - m) / s`` and the remainder ``eps / s``. Everything is
    taken from the largest value and in units of the largest distance: equal values have deviation 0 to the last bit,
    and no square leaves the range of the dtype.
    """

    def __init__(self, features: Tensor, layout: Layout, weights: Tensor, eps: float) -> None:
        self.layout, self.weights, self.eps = layout, weights, eps
        self.mean = layout.weighted_sum(features, weights)
        below, _ = layout.below_maximum(features.to(layout.dtype))
        distance = below.unsqueeze(1) - layout.spread(layout.weighted_sum(below, weights))
        distance = layout.present(distance, 0)
        unit = layout.max(distance.abs())
        unit = torch.where(unit > 0, unit, 1)
        self.relative = distance / layout.spread(unit)
        variance = layout.sum(weights * self.relative.square())
        self.flat = variance == 0
        self.root = torch.where(self.flat, 1, variance).sqrt()  # the square root of 0 has no gradient
        self.deviation = torch.where(self.flat, 0, unit * self.root)
        self.smooth = self.deviation
        if eps:
            self.smooth = layout.zero_if_empty(torch.hypot(self.deviation, self.deviation.new_tensor(math.sqrt(eps))))

    def value(self) -> Tensor:
        """``(N, 2 R, C, *kept)``."""
        return torch.cat([self.mean, self.smooth], 1)

    def parts(self) -> Parts:
        """Signed weights ``mid = (2 R, C)``, remainder and value."""
        signed = self.weights * self.relative / self.layout.spread(self.root)
        signed = torch.where(self.layout.spread(self.flat), 0, signed)
        remainder = None
        if self.eps:
            smooth = torch.where(self.smooth > 0, self.smooth, 1)  # 0 where the sample is empty
            signed = signed * self.layout.spread(self.deviation / smooth)
            rest = self.layout.zero_if_empty(self.eps / smooth)
            remainder = torch.cat([torch.zeros_like(self.mean), rest], 1)
        return Parts(torch.cat([self.weights.expand_as(signed), signed], 1), remainder, self.value())
