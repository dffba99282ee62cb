"""Several pools side by side."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool
from globalpool.pools.composition import Composition
from globalpool.pools.log_mean_exp import LogMeanExp
from globalpool.pools.maximum import Max
from globalpool.pools.sums import Mean, Sum
from globalpool.pools.together import two_at_once


class Concat(Composition):
    """The regions of the first pool, then those of the next: ``Concat(Mean(), Max())`` has R = 2, mean and maximum.

    Weights ``(N, R, C, *S)`` (``(N, R, 1, *S)`` if all pools weight channels alike) and remainder are theirs. Affine,
    and the weights the gradient, where all pools are. All must reduce the same ``dim``.
    Howard, Gugger, fastai (2020) concatenate mean and maximum; Corso et al., PNA (2020), more.
    """

    def __init__(self, *pools: Pool) -> None:
        super().__init__(pools)
        self.pools = nn.ModuleList(pools)
        self.regions = sum(pool.regions for pool in pools)

    @property
    def members(self) -> Sequence[Pool]:
        return list(self.pools)  # type: ignore[arg-type]

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        each = [pool.parts(features, layout) for pool in self.members]
        values = [pool.pooled(features, layout, own) for pool, own in zip(self.members, each, strict=True)]
        channels = max(own.weights.shape[2] for own in each)
        weights = [own.weights.expand(-1, -1, channels, *own.weights.shape[3:]) for own in each]
        remainder = None
        if any(own.remainder is not None for own in each):
            rests = zip(each, values, strict=True)
            remainder = torch.cat([torch.zeros_like(v) if p.remainder is None else p.remainder for p, v in rests], 1)
        return Parts(torch.cat(weights, 1), remainder, torch.cat(values, 1))

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        if parts is not None and parts.value is not None:
            return parts.value
        return torch.cat([pool.pooled(features, layout) for pool in self.members], 1)

    def fused(self, features: Tensor, layout: Layout) -> Tensor | None:
        members = self.members
        both = two_at_once(members[0], members[1], features, layout) if len(members) == 2 else None
        return None if both is None else torch.cat(both, 1)

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls(Mean(), Max()), cls(Sum(), LogMeanExp(2.0))]
