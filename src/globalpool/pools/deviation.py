"""The deviation as a signed weighted sum, for the pools that give one."""

import math

import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools.base import Parts


def check_eps(where: str, eps: float) -> None:
    """Raise unless ``eps`` is a finite number that is not negative."""
    if not (math.isfinite(eps) and eps >= 0):
        raise PoolError(where, "`eps` as a finite number, 0 or more, in squared feature units", str(eps))


def mean_and_deviation(features: Tensor, layout: Layout, weights: Tensor, eps: float) -> Parts:
    """Means under ``weights`` (``mid = (R, 1)``, not negative, summing to one), then as many deviations.

    ``s = sqrt(sum_p w (x - m)^2 + eps)`` has the weights ``w (x - m) / s`` and the remainder ``eps / s``. Everything is
    taken from the largest value and in units of the largest distance: equal values have deviation 0 to the last bit,
    and no square leaves the range of the dtype.
    """
    below, _ = layout.below_maximum(features.to(layout.dtype))
    distance = below.unsqueeze(1) - layout.spread(layout.weighted_sum(below, weights))
    distance = layout.present(distance, 0)
    unit = layout.max(distance.abs())
    unit = torch.where(unit > 0, unit, 1)
    relative = distance / layout.spread(unit)
    variance = layout.sum(weights * relative.square())
    flat = variance == 0
    root = torch.where(flat, 1, variance).sqrt()  # the square root of 0 has no gradient
    signed = torch.where(layout.spread(flat), 0, weights * relative / layout.spread(root))
    deviation = torch.where(flat, 0, unit * root)
    mean = layout.weighted_sum(features, weights)
    signs = torch.cat([weights.expand_as(signed), signed], 1)
    if eps == 0:
        return Parts(signs, value=torch.cat([mean, deviation], 1))
    smooth = (deviation.square() + eps).sqrt()
    signs = torch.cat([signs[:, : weights.shape[1]], signed * layout.spread(deviation / smooth)], 1)
    rest = layout.zero_if_empty(eps / smooth)
    remainder = torch.cat([torch.zeros_like(mean), rest], 1)
    return Parts(signs, remainder, torch.cat([mean, layout.zero_if_empty(smooth)], 1))
