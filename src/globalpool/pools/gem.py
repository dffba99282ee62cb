"""Generalised mean: between the mean (p = 1) and the maximum (p to infinity)."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from globalpool import kernels
from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool
from globalpool.pools.learned import Learned, Positive, check_positive, current, shown
from globalpool.pools.smooth import log_mean_exp


class GeM(Pool):
    """``y[c] = (mean_p max(x[c, p], eps)^p)^(1/p)`` for features ``x >= 0``; values below ``eps`` count as ``eps``.

    Weights ``(N, 1, C, *S)``: ``x^(p-1) y^(1-p) / count`` where ``x >= eps``, 0 below; what the positions below
    ``eps`` contribute, ``eps^p y^(1-p) / count`` each, is the remainder. Not affine; the weights are the gradient.
    ``p`` positive, ``Learned`` or ``Annealed``. Radenovic, Tolias, Chum (2018), section 3.2; lower bound
    ``max * count^(-1/p)``. Powers are taken relative to each sample's maximum, so that none overflows.
    """

    affine = False

    def __init__(
        self,
        p: Positive = 3.0,
        eps: float = 1e-6,
        *,
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        check_positive(self.name, "p", p)
        check_positive(self.name, "eps", eps)
        self.p, self.eps = p, eps

    @property
    def weights_are_gradient(self) -> bool:
        return True

    @property
    def has_remainder(self) -> bool:
        return True

    def _power_mean(self, features: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
        """``log(max(x, eps) / top)``, ``log(y / top)`` and ``top``, each sample's maximum (``eps`` if empty)."""
        floored = features.to(layout.dtype).clamp(min=self.eps)
        top = layout.max(floored)
        top = torch.where(top == float("-inf"), self.eps, top)
        logarithm = layout.present(torch.log(floored / layout.spread(top)), 0)
        p = current(self.name, self.p, logarithm)
        log_mean = log_mean_exp(p * logarithm, layout)
        return logarithm, log_mean / current(self.name, self.p, log_mean), top

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        logarithm, log_value, _ = self._power_mean(features, layout)
        counted = features.to(layout.dtype) >= self.eps
        uniform = layout.uniform().squeeze(1)
        p = current(self.name, self.p, logarithm)
        slope = torch.exp((p - 1) * (logarithm - layout.spread(log_value)))  # (x / y)^(p - 1)
        below = layout.mean(torch.where(counted, 0, slope)) * self.eps
        return Parts(torch.where(counted, uniform * slope, 0).unsqueeze(1), below.unsqueeze(1))

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        _, log_value, top = self._power_mean(features, layout)
        return layout.zero_if_empty(top * torch.exp(log_value)).unsqueeze(1)

    def fused(self, features: Tensor, layout: Layout) -> Tensor | None:
        return layout.exponential_once(features, current(self.name, self.p, features), kernels.POWER, self.eps)

    def extra_repr(self) -> str:
        return f"eps={self.eps}{shown(', p', self.p)}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls(), cls(p=Learned(2.5, channels=channels), eps=0.5)]
