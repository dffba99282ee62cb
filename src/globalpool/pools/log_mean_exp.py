"""Log-mean-exp: a smooth maximum with the mean as its other limit."""

from collections.abc import Sequence
from typing import Literal, Self

from torch import Tensor, nn

from globalpool import kernels
from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool
from globalpool.pools.learned import Learned, Positive, current, shown
from globalpool.pools.smooth import exp_ratio, log_mean_exp


class LogMeanExp(Pool):
    """``y[c] = (1/r) log mean_p exp(r x[c, p])``: r to 0 is Mean, to infinity Max (within ``log(count) / r``).

    Weights ``(N, 1, C, *S)``: ``a = softmax(r x)``. Remainder: ``-KL(a || uniform) / r``. Not affine; the weights
    are the gradient. ``r`` not zero (negative: a smooth minimum), or ``Learned`` or ``Annealed`` (positive).
    Pinheiro, Collobert (2015), section 3.3; Lowe et al., LogAvgExp (2021).
    """

    affine = False

    def __init__(
        self,
        r: Positive = 1.0,
        *,
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        if not isinstance(r, nn.Module) and not 1e-30 <= abs(r) <= 1e30:
            hint = "The limit r = 0 is the pool Mean, r to infinity Max."
            raise PoolError(self.name, "`r` (or -r) between 1e-30 and 1e30, or Learned", str(r), hint)
        self.r = r

    @property
    def weights_are_gradient(self) -> bool:
        return True

    @property
    def has_remainder(self) -> bool:
        return True

    def _exponents(self, features: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """``|r| (s x - top)`` with ``s`` the sign of r, and ``top = max s x`` (pooled).

        Shifted before multiplied: ``r x`` itself would round away what a softmax is made of.
        """
        below, top = layout.below_maximum(features.to(layout.dtype) * self._sign)
        return below * self._rate(below), top

    @property
    def _sign(self) -> int:
        return -1 if not isinstance(self.r, nn.Module) and self.r < 0 else 1

    def _rate(self, like: Tensor) -> Tensor | float:
        rate = current(self.name, self.r, like)
        return rate * self._sign

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        exponents, top = self._exponents(features, layout)
        ratio, log_ratio = exp_ratio(exponents, layout)
        uniform = layout.uniform().squeeze(1)
        divergence = layout.mean(ratio * log_ratio)
        return Parts((ratio * uniform).unsqueeze(1), (-self._sign * divergence / self._rate(top)).unsqueeze(1))

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        exponents, top = self._exponents(features, layout)
        return (self._sign * (top + log_mean_exp(exponents, layout) / self._rate(top))).unsqueeze(1)

    def fused(self, features: Tensor, layout: Layout) -> Tensor | None:
        kind = kernels.SMOOTH_MINIMUM if self._sign < 0 else kernels.LOG_MEAN_EXP
        return layout.exponential_once(features, self._rate(features), kind)

    def extra_repr(self) -> str:
        return shown("r", self.r)

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls(), cls(r=-2.0), cls(r=Learned(3.0))]
