"""Mean and deviation of each channel: statistics pooling."""

import math
from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from globalpool import kernels
from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool
from globalpool.pools.deviation import Spread, check_eps


class Statistics(Pool):
    """Two regions: the mean ``m`` and the population deviation ``s = sqrt(mean_p (x - m)^2 + eps)``.

    Weights ``(N, 2, C, *S)``: ``1 / count``, and ``(x[p] - m) / (s count)``, which are signed and sum to zero.
    Remainder of the deviation: ``eps / s``, zero by default. Where all values are equal the deviation is zero and so
    are its weights and its gradient. Not affine; the weights are the gradient. Population, not sample: one position has
    deviation 0. Snyder et al., x-vectors (2018), section 2.1; Lee, Kim, Nam, SRM (2019) squeeze with it.
    """

    affine = False
    regions = 2

    def __init__(
        self, eps: float = 0.0, *, dim: int | Sequence[int] | None = None, empty: Literal["zero", "raise"] = "zero"
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        check_eps(self.name, eps)
        self.eps = eps

    @property
    def weights_are_gradient(self) -> bool:
        return True

    @property
    def has_remainder(self) -> bool:
        return self.eps > 0

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        return Spread(features, layout, layout.uniform(), self.eps).parts()

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        if parts is not None and parts.value is not None:
            return parts.value
        return Spread(features, layout, layout.uniform(), self.eps).value()

    def fused(self, features: Tensor, layout: Layout) -> Tensor | None:
        bare = layout.paying("moments", features)
        if bare is None:
            return None
        mean, deviation, *_ = kernels.moments(
            bare.features, bare.ptr, bare.facts, kernels.differentiating(bare.features)
        )
        if self.eps:
            deviation = layout.zero_if_empty(torch.hypot(deviation, deviation.new_tensor(math.sqrt(self.eps))))
        return torch.stack([mean, deviation], 1)

    def extra_repr(self) -> str:
        return f"eps={self.eps:g}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls(), cls(eps=0.1)]
