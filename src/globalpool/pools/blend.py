"""Between two pools."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool
from globalpool.pools.composition import Composition
from globalpool.pools.learned import LearnedShare
from globalpool.pools.maximum import Max
from globalpool.pools.sums import Mean
from globalpool.pools.together import two_at_once


class Blend(Composition):
    """``y = weight * a(x) + (1 - weight) * b(x)``; ``Blend(Max(), Mean(), 0.5)`` is timm's ``avgmax``.

    Weights and remainder are blended alike: ``(N, R, C or 1, *S)``. Affine, and the weights the gradient, where both
    pools are. Both must have as many regions and the same ``dim``. ``weight``: a number (also outside 0 to 1), a
    Parameter (), or ``LearnedShare``, which stays between 0 and 1.
    Lee, Gallagher, Tu, mixed pooling (2016), section 3.1.
    """

    def __init__(self, a: Pool, b: Pool, weight: float | nn.Parameter | LearnedShare = 0.5) -> None:
        super().__init__((a, b))
        if a.regions != b.regions:
            raise PoolError(self.name, "two pools with as many regions", f"{a.regions} and {b.regions}", "See Concat.")
        single = isinstance(weight, LearnedShare) or (isinstance(weight, nn.Parameter) and weight.ndim == 0)
        if not single and not (isinstance(weight, int | float) and math.isfinite(weight)):
            raise PoolError(self.name, "`weight` as a finite number, a Parameter () or LearnedShare", str(weight))
        self.a, self.b, self.weight, self.regions = a, b, weight, a.regions

    @property
    def members(self) -> Sequence[Pool]:
        return self.a, self.b

    def _mix(self, a: Tensor, b: Tensor) -> Tensor:
        weight = self.weight() if isinstance(self.weight, LearnedShare) else self.weight
        return weight * a + (1 - weight) * b

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        a, b = self.a.parts(features, layout), self.b.parts(features, layout)
        value = self._mix(self.a.pooled(features, layout, a), self.b.pooled(features, layout, b))
        remainder = None
        if a.remainder is not None or b.remainder is not None:
            rests = [torch.zeros_like(value) if own.remainder is None else own.remainder for own in (a, b)]
            remainder = self._mix(*rests)
        return Parts(self._mix(a.weights, b.weights), remainder, value)

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        if parts is not None and parts.value is not None:
            return parts.value
        return self._mix(self.a.pooled(features, layout), self.b.pooled(features, layout))

    def fused(self, features: Tensor, layout: Layout) -> Tensor | None:
        both = two_at_once(self.a, self.b, features, layout)
        return None if both is None else self._mix(*both)

    def extra_repr(self) -> str:
        if isinstance(self.weight, nn.Module):
            return ""
        return f"weight={self.weight.item() if isinstance(self.weight, nn.Parameter) else self.weight:g}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls(Max(), Mean()), cls(Mean(), Max(), LearnedShare(0.25))]
