"""Feature maps drawn from a rule: targets that do not grow with the map, and counts, which do."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

import globalpool as gp

CHANNELS = 4


@dataclass(frozen=True, eq=False)
class Maps:
    """``x (N, 4, side, side)`` float64; ``target (N, 1)``; ``label (N,)``."""

    x: Tensor
    target: Tensor
    label: Tensor


def textures(count: int, side: int, seed: int) -> Maps:
    """Channel 0 is +1 with probability q, else -1; q uniform. Target q; label 1 with probability sigmoid(6 q - 3).

    The label stays uncertain however large the map is, and the logit is 3 times the mean of channel 0.
    """
    random = torch.Generator().manual_seed(seed)
    q = torch.rand(count, 1, generator=random, dtype=torch.float64)
    x = torch.randn(count, CHANNELS, side, side, generator=random, dtype=torch.float64)
    x[:, 0] = 2 * (torch.rand(count, side, side, generator=random, dtype=torch.float64) < q[..., None]).double() - 1
    label = torch.rand(count, 1, generator=random, dtype=torch.float64) < (6 * q - 3).sigmoid()
    return Maps(x, q, label[:, 0].long())


def dots(count: int, side: int, seed: int) -> Maps:
    """Up to 20 dots on 32 x 32 cells, in proportion on other sides: each adds 1 to a cell of channel 0.

    Target: how many. Every channel has noise of deviation 0.003.
    """
    random = torch.Generator().manual_seed(seed)
    x = 0.003 * torch.randn(count, CHANNELS, side, side, generator=random, dtype=torch.float64)
    number = torch.randint(0, 20 * side**2 // 32**2 + 1, (count,), generator=random)
    for picture, many in zip(x, number.tolist(), strict=True):
        cells = torch.randint(0, side**2, (many,), generator=random)
        picture[0].view(-1).index_add_(0, cells, torch.ones(many, dtype=torch.float64))
    return Maps(x, number.double()[:, None], (number > number.double().mean()).long())


def head(pool: gp.Pool, outputs: int, *, bias: bool = True) -> gp.PooledClassifier:
    """Pool and linear layer over maps, in float64, from weights of zero."""
    tail = nn.Linear(CHANNELS, outputs, bias=bias, dtype=torch.float64)
    for parameter in tail.parameters():
        nn.init.zeros_(parameter)
    return gp.PooledClassifier(nn.Identity(), pool, tail)
