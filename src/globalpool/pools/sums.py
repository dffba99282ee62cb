"""Pools whose weights depend on the number of positions alone: mean, sum, and the family between them."""

import math
from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn

from globalpool import kernels
from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool
from globalpool.pools.learned import Learned


class Mean(Pool):
    """Global average pooling: ``y = sum_p m[p] x[p] / sum_p m[p]``, the plain mean without a measure ``m``.

    Weights ``(N, 1, 1, *S)``, ``m / sum m``. Affine. Lin, Chen, Yan, Network in Network (2013), section 3.2.
    ``dim=-1`` pools time, ``dim=-2`` frequency of a spectrogram ``(N, C, F, T)``; the other axis is kept.
    """

    affine = True

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        return Parts(layout.uniform())

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        return layout.mean(features).unsqueeze(1)

    def fused(self, features: Tensor, layout: Layout) -> Tensor | None:
        return layout.sum_once(features, mean=True)

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls()] if axes == 1 else [cls(), cls(dim=-1)]


class Sum(Pool):
    """Global sum pooling: ``y = sum_p m[p] x[p]``; for targets that grow with the number of things (counting).

    Weights ``(N, 1, 1, *S)``, the measure or 1. Affine. Half features give float32, whose range a sum needs.
    Aich, Stavness, Global Sum Pooling (2018), section 3.
    """

    affine = True

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        return Parts(layout.weigh(layout.ones()))

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        return layout.sum(layout.weigh(features)).unsqueeze(1)

    def fused(self, features: Tensor, layout: Layout) -> Tensor | None:
        return layout.sum_once(features, mean=False)

    def value_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return kernels.accumulation_dtype(dtype)


class ScaledSum(Pool):
    """``y = count^-gamma sum_p m[p] x[p]`` with ``count = sum_p m[p]``: gamma 1 is Mean, 0 is Sum.

    gamma 1/2 keeps the variance of independent zero-mean features. ``gamma`` is any number; to learn it, an
    ``nn.Parameter`` of shape () or ``Learned`` (positive). Weights ``(N, 1, 1, *S)``. Affine. Half features give
    float32. The family is derived here from Mean and Sum (Aich, Stavness 2018); changing N0 positions to N1 changes
    the sum by ``(N1 / N0)^(1 - gamma)``.
    """

    affine = True

    def __init__(
        self,
        gamma: float | nn.Parameter | Learned = 0.5,
        *,
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        single = isinstance(gamma, nn.Parameter) and gamma.ndim == 0
        single = single or (isinstance(gamma, Learned) and gamma.log.ndim == 0)
        if not single and not (isinstance(gamma, int | float) and math.isfinite(gamma)):
            raise PoolError(self.name, "`gamma` as a finite number, a Parameter of shape () or Learned", str(gamma))
        self.gamma = gamma

    def _scale(self, layout: Layout) -> Tensor:
        """``count^-gamma (N, *kept)``; 1 for an empty sample."""
        total = layout.total()
        gamma = self.gamma() if isinstance(self.gamma, Learned) else self.gamma
        return torch.where(total > 0, total, 1) ** -gamma

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        scale = layout.per_position(self._scale(layout), 2)
        return Parts(layout.weigh(layout.ones()) * layout.spread(scale))

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        pooled = layout.sum(layout.weigh(features))
        return (pooled * layout.per_position(self._scale(layout), 1)).unsqueeze(1)

    def value_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return kernels.accumulation_dtype(dtype)

    def extra_repr(self) -> str:
        return "" if isinstance(self.gamma, nn.Module) else f"gamma={float(self.gamma):g}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls(), cls(gamma=nn.Parameter(torch.tensor(0.25)))]
