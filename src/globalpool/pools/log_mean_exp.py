"""Log-mean-exp: a smooth maximum with the mean as its other limit."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool
from globalpool.pools.learned import Learned, current


class LogMeanExp(Pool):
    """``y[c] = (1/r) log mean_p exp(r x[c, p])``: r to 0 is Mean, to infinity Max (within ``log(count) / r``).

    Weights ``(N, 1, C, *S)``: ``a = softmax(r x)``. Remainder: ``-KL(a || uniform) / r``. Not affine; the weights
    are the gradient. ``r`` finite and not zero (negative: a smooth minimum), or ``Learned`` (positive).
    Pinheiro, Collobert (2015), section 3.3; Lowe et al., LogAvgExp (2021).
    """

    affine = False

    def __init__(
        self,
        r: float | Learned = 1.0,
        *,
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        if not isinstance(r, Learned) and (r == 0 or not abs(r) < float("inf")):
            raise PoolError(self.name, "`r` finite and not zero", str(r), "The limit r = 0 is the pool Mean.")
        self.r = r

    @property
    def weights_are_gradient(self) -> bool:
        return True

    def _relative(self, features: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``exp(r x) / mean exp(r x)``, its logarithm, ``log mean exp(r x - top)`` and ``top = max r x``.

        Where the mean is near the top everything goes through expm1 and log1p: for small ``r`` a logarithm of a
        number rounded near 1 would be divided by ``r`` and lose all its digits.
        """
        below, top = layout.below_maximum(features.to(layout.dtype) * current(self.r, features))
        drop, mean = torch.expm1(below), layout.mean(torch.exp(below))
        mean_drop = layout.mean(drop)  # 0 for an empty sample, where `mean` is 0 too
        near = mean_drop > -0.5
        mean = torch.where(near, 1 + mean_drop, mean)
        log_mean = torch.where(near, torch.log1p(torch.where(near, mean_drop, 0)), torch.log(mean))
        ratio = torch.exp(below) / layout.spread(mean)
        excess = (drop - layout.spread(mean_drop)) / layout.spread(mean)
        wide = ~layout.spread(near)
        log_ratio = torch.where(
            wide | (excess <= -0.9),
            torch.log(torch.where(ratio > 0, ratio, 1)),
            torch.log1p(torch.where(wide | (excess <= -0.9), 0, excess)),
        )
        return ratio, log_ratio, log_mean, top

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        ratio, log_ratio, _, top = self._relative(features, layout)
        uniform = layout.normalize(layout.weigh(layout.ones())).squeeze(1)
        divergence = layout.mean(ratio * log_ratio)
        return Parts((ratio * uniform).unsqueeze(1), (-divergence / current(self.r, top)).unsqueeze(1))

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        _, _, log_mean, top = self._relative(features, layout)
        return ((top + log_mean) / current(self.r, top)).unsqueeze(1)

    def extra_repr(self) -> str:
        return "" if isinstance(self.r, Learned) else f"r={self.r}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls(), cls(r=-2.0), cls(r=Learned(3.0))]
