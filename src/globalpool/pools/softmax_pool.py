"""Softmax pooling: each channel's values weighted by their own softmax."""

from collections.abc import Sequence
from typing import Literal, Self

from torch import Tensor

from globalpool import kernels
from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool
from globalpool.pools.learned import Learned, Positive, check_positive, current, shown


class SoftmaxPool(Pool):
    """``y[c] = sum_p a[c, p] x[c, p]``, ``a[c] = softmax over p of x[c] / temperature``; infinity is Mean, 0 Max.

    Weights ``(N, 1, C, *S)``. Not affine, and the weights are NOT the gradient: raising a value raises its weight too
    (LogMeanExp has the same weights as its gradient). A measure counts a position that many times. ``temperature``:
    positive, ``Learned`` (one, or one a channel) or ``Annealed``.
    McFee, Salamon, Bello, auto-pool (2018), section III, with 1 / temperature as its alpha.
    """

    affine = False

    def __init__(
        self,
        temperature: Positive = 1.0,
        *,
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        check_positive(self.name, "temperature", temperature)
        self.temperature = temperature

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        scores = features.to(layout.dtype)
        return Parts(layout.softmax(scores, current(self.name, self.temperature, scores)).unsqueeze(1))

    def fused(self, features: Tensor, layout: Layout) -> Tensor | None:
        rate = 1 / current(self.name, self.temperature, features)
        return layout.exponential_once(features, rate, kernels.SOFTMAX)

    def extra_repr(self) -> str:
        return shown("temperature", self.temperature)

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls(), cls(temperature=Learned(0.5, channels=channels))]
