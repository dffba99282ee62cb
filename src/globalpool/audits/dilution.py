"""What zeros beyond a sample do to a pool that counts them as positions: from counts alone."""

import math
from math import prod

import torch
from torch import Tensor

from globalpool.exchange.resolution import gamma_of, members
from globalpool.pools import Concat, GeM, LogMeanExp, Max, Mean, Pool, ScaledSum, Sum


def diluted(pool: Pool, value: Tensor, own: tuple[int, ...], canvas: tuple[int, ...]) -> Tensor | None:
    """The pooled vectors ``(N, F)`` of maps of lengths ``own`` when zeros fill a ``canvas``; None where counts say not.

    A ``count^-gamma`` sum becomes ``(own / canvas)^gamma`` of itself: the mean falls like the share of real positions,
    a sum not at all. The maximum becomes 0 where it was negative. Generalised and exponential means are means of a
    function of the features, and the zeros count with its value there.
    """
    ratio = prod(own) / prod(canvas)
    if pool.dim is not None:
        return None
    if isinstance(pool, Concat):
        widths = [value.shape[1] * one.regions // pool.regions for one in members(pool)]
        parts = zip(members(pool), value.split(widths, 1), strict=True)
        found = [diluted(one, part, own, canvas) for one, part in parts]
        known = [part for part in found if part is not None]
        return torch.cat(known, 1) if len(known) == len(found) else None
    if isinstance(pool, Mean):
        return value * ratio
    if isinstance(pool, Sum | ScaledSum):
        factor: float = ratio ** gamma_of(pool)
        return value * factor
    if isinstance(pool, Max):
        return value.clamp(min=0)
    if isinstance(pool, GeM) and isinstance(pool.p, int | float):
        power: Tensor = ratio * value.double().pow(pool.p) + (1 - ratio) * pool.eps**pool.p
        root: Tensor = power.pow(1 / pool.p)
        return root.to(value.dtype)
    if isinstance(pool, LogMeanExp) and isinstance(pool.r, int | float):
        zeros = torch.tensor(math.log(1 - ratio) if ratio < 1 else -math.inf, dtype=torch.float64)
        logarithm: Tensor = torch.logaddexp(pool.r * value.double() + math.log(ratio), zeros.to(value.device))
        mean: Tensor = logarithm / pool.r
        return mean.to(value.dtype)
    return None
