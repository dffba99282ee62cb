"""Whether regions or clusters share the positions, as a number and as a loss."""

import math

import torch
from torch import Tensor

from globalpool.errors import PoolError


def usage_entropy(masses: Tensor) -> Tensor:
    """Entropy in nats of how much each of R regions is used over the batch; ``log R`` is even use, 0 collapse.

    ``masses (N, R, *kept)``: each region's share of its sample, from ``LearnedRegions.masses``. Samples without
    positions do not count.
    """
    if masses.ndim < 2 or not masses.is_floating_point():
        got = f"{str(masses.dtype).removeprefix('torch.')} {tuple(masses.shape)}"
        raise PoolError("usage_entropy", "masses (N, R) of a pool with regions", got, "Pass pool.masses(x).")
    use = masses.movedim(1, -1).flatten(0, -2).sum(0)
    total = use.sum()
    share = use / torch.where(total > 0, total, 1)
    # At 0 the term share * log(share) is 0, its gradient through the logarithm infinite.
    return -(share * torch.where(share > 0, share, 1).log()).sum()


def balance_loss(masses: Tensor) -> Tensor:
    """``log R - usage_entropy``, the divergence of the use of the regions from even use; 0 when all are used alike.

    Added to the task's loss with a small weight it keeps learned masks from collapsing into one region. It asks for
    even use over the whole batch: a single sample may still lie in one region.
    """
    return math.log(masses.shape[1]) - usage_entropy(masses)
