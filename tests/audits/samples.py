"""Samples and small classifiers whose behaviour can be written down."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from globalpool.audits import AuditData
from globalpool.classifier import PooledClassifier
from globalpool.pools import Mean, Pool


def samples(inputs: Tensor, targets: Sequence[int] | None = None, **settings: float) -> AuditData:
    """``inputs (N, C, *S)`` one by one; targets 0, 1, 0, 1, ... where none are given."""
    own = [number % 2 for number in range(len(inputs))] if targets is None else list(targets)
    ids = tuple(map(str, range(len(inputs))))
    data = AuditData(tuple(inputs.split(1)), torch.tensor(own), True, ids)
    for name, value in settings.items():
        object.__setattr__(data, name, value)
    return data


def head(
    trunk: nn.Module, channels: int, classes: int = 3, pool: Pool | None = None, seed: int = 0
) -> PooledClassifier:
    """Any trunk, a pool, a linear layer with numbers of order one."""
    pool = Mean() if pool is None else pool
    tail = nn.Linear(pool.out_features(channels), classes)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        tail.weight.copy_(torch.randn(tail.weight.shape, generator=generator))
        tail.bias.copy_(torch.randn(classes, generator=generator))
    return PooledClassifier(trunk, pool, tail).eval()


def convolution(
    kernel: Tensor, stride: int = 1, padding: int = 0, mode: Literal["zeros", "circular"] = "zeros", channels: int = 3
) -> nn.Conv2d:
    """Each channel by itself with one ``kernel (k, k)``, without bias."""
    side = kernel.shape[0]
    layer = nn.Conv2d(
        channels, channels, side, stride=stride, padding=padding, bias=False, groups=channels, padding_mode=mode
    )
    with torch.no_grad():
        layer.weight.copy_(kernel.expand(channels, 1, side, side))
    return layer


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
