"""Generalised mean: between the mean (p = 1) and the maximum (p to infinity)."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool
from globalpool.pools.learned import Learned, check_positive, current


class GeM(Pool):
    """``y[c] = (mean_p max(x[c, p], eps)^p)^(1/p)`` for features ``x >= 0``; values below ``eps`` count as ``eps``.

    Weights ``(N, 1, C, *S)``: ``x^(p-1) y^(1-p) / count`` where ``x >= eps``, 0 below; what the positions below
    ``eps`` contribute, ``eps^p y^(1-p) / count`` each, is the remainder. Not affine; the weights are the gradient.
    ``p`` positive, or ``Learned``. Radenovic, Tolias, Chum (2018), section 3.2; lower bound
    ``max * count^(-1/p)``. Powers are taken relative to each sample's maximum, so that none overflows.
    """

    affine = False

    def __init__(
        self,
        p: float | Learned = 3.0,
        eps: float = 1e-6,
        *,
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        check_positive(self.name, "p", p)
        if not eps > 0:
            raise PoolError(self.name, "`eps` positive", str(eps), "It is the value that smaller ones count as.")
        self.p, self.eps = p, eps

    @property
    def weights_are_gradient(self) -> bool:
        return True

    def _power_mean(self, features: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
        """``max(x, eps)`` over the sample's maximum, the mean of its p-th power (1 if empty), and that maximum."""
        floored = features.to(layout.dtype).clamp(min=self.eps)
        top = layout.max(floored)
        top = torch.where(top == float("-inf"), 1, top)
        ratio = floored / layout.spread(top)
        power = layout.mean(ratio ** current(self.p, ratio))
        return ratio, torch.where(self._empty(layout, power), 1, power), top

    def _empty(self, layout: Layout, pooled: Tensor) -> Tensor:
        total = layout.total()
        return layout.per_position(total <= 0, pooled.ndim - total.ndim)

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        ratio, power, top = self._power_mean(features, layout)
        counted = features.to(layout.dtype) >= self.eps
        uniform = layout.normalize(layout.weigh(layout.ones())).squeeze(1)
        scale = power ** (1 / current(self.p, power) - 1)  # (y / top)^(1 - p)
        weights = uniform * ratio ** (current(self.p, ratio) - 1) * layout.spread(scale)
        below = layout.mean(torch.where(counted, 0, ratio ** current(self.p, ratio)))
        return Parts(torch.where(counted, weights, 0).unsqueeze(1), (top * scale * below).unsqueeze(1))

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        _, power, top = self._power_mean(features, layout)
        value = top * power ** (1 / current(self.p, power))
        return torch.where(self._empty(layout, value), 0, value).unsqueeze(1)

    def extra_repr(self) -> str:
        return f"eps={self.eps}" if isinstance(self.p, Learned) else f"p={self.p}, eps={self.eps}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls(), cls(p=Learned(2.5, channels=channels), eps=0.5)]
