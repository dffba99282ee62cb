"""The mean of the largest values of each channel."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool, check_whole


class TopK(Pool):
    """``y[c]`` is the mean of the ``k`` largest ``x[c, p]``; of all where there are fewer. k = 1 is Max.

    Weights ``(N, 1, C, *S)``: 1/k on the k largest; values equal to the k-th share equally what is left. Not affine;
    the weights are the gradient. A measure counts a position that many times: the largest values are taken until they
    hold ``k``. Durand et al., WILDCAT (2017), section 3.3, its positive half.
    """

    affine = False

    def __init__(
        self, k: int = 3, *, dim: int | Sequence[int] | None = None, empty: Literal["zero", "raise"] = "zero"
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        check_whole(self.name, "k", k)
        self.k = k

    @property
    def weights_are_gradient(self) -> bool:
        return True

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        features = features.detach()
        lowest = layout.spread(layout.threshold(features, self.k))
        one = layout.weigh(layout.ones()).squeeze(1)
        above = torch.where(features <= lowest, 0, one)  # NaN is above everything, so that it is seen
        level = torch.where(features == lowest, one, 0)
        # Rounding may leave less than nothing for the ties, or more than they hold.
        left = (self.k - layout.sum(above)).clamp(min=0).minimum(layout.sum(level))
        held = above + layout.normalize(level) * layout.spread(left)
        return Parts(layout.normalize(held).unsqueeze(1))

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        parts = self.parts(features, layout) if parts is None else parts
        taken = torch.where(parts.weights[:, 0] > 0, features, 0).to(layout.dtype)  # not -inf times zero
        return layout.sum(parts.weights[:, 0] * taken).unsqueeze(1)

    def extra_repr(self) -> str:
        return f"k={self.k}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls(), cls(k=1), cls(k=1000)]
