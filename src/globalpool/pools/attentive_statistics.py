"""Mean and deviation under attention."""

from collections.abc import Sequence
from typing import Literal, Self

from torch import Tensor, nn

from globalpool.layout import Layout
from globalpool.pools.attention import Attention, randomize
from globalpool.pools.base import Parts, Pool
from globalpool.pools.deviation import Spread, check_eps
from globalpool.pools.learned import Positive
from globalpool.pools.scores import Content


class AttentiveStatistics(Pool):
    """Mean ``m = sum_p a x`` and deviation ``s = sqrt(sum_p a (x - m)^2 + eps)`` under the weights of ``Attention``.

    Regions: the means of all heads, then their deviations, ``R = 2 * heads``. Weights ``(N, R, C, *S)``: ``a``, and
    ``a (x - m) / s``, which are signed and sum to zero; remainder ``eps / s``. Zero scores are ``Statistics``, and that
    is how it starts. Not affine; with ``content`` the weights are not the gradient, as features move the attention too.
    The arguments are those of ``Attention``, kept in ``.attention``. Okabe, Koshinaka, Shinoda (2018), section 3.
    """

    affine = False

    def __init__(
        self,
        channels: int,
        content: Content = "linear",
        position: nn.Module | None = None,
        temperature: Positive = 1.0,
        heads: int = 1,
        *,
        eps: float = 0.0,
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        check_eps(self.name, eps)
        self.attention = Attention(channels, content, position, temperature, heads)
        self.eps, self.regions = eps, 2 * heads

    @property
    def weights_are_gradient(self) -> bool:
        return self.attention.affine

    @property
    def needs_geometry(self) -> bool:
        return self.attention.needs_geometry or self.dim is not None

    @property
    def has_remainder(self) -> bool:
        return self.eps > 0

    def _spread(self, features: Tensor, layout: Layout) -> Spread:
        return Spread(features, layout, self.attention.parts(features, layout).weights, self.eps)

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        return self._spread(features, layout).parts()

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        if parts is not None and parts.value is not None:
            return parts.value
        return self._spread(features, layout).value()

    def extra_repr(self) -> str:
        return f"eps={self.eps:g}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        heads = cls(channels, heads=2, eps=0.1)
        randomize(heads, 0)
        return [cls(channels), heads]
