"""What a layout can do in one read of the features by compiled loops; None where it cannot, or torch is as fast."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from globalpool import kernels


@dataclass(frozen=True, eq=False)
class Bare:
    """Features and measure as the compiled loops read them: one axis of positions, none of it copied.

    Ragged: ``features (T, C)``, ``ptr (N + 1,)``, ``measure (T, 1)``. Dense: ``(N, C, P)``, None, ``(N, 1, P)``.
    """

    features: Tensor
    ptr: Tensor | None
    measure: Tensor | None

    @property
    def facts(self) -> Tensor | None:
        """The measure as a per-position fact, ``(T,)`` or ``(N, P)``."""
        return None if self.measure is None else self.measure.squeeze(1)

    @property
    def lines(self) -> bool:
        """Whether it is dense with each channel's positions in a row, where torch's maximum is as fast as ours."""
        return not kernels.forced() and self.ptr is None and self.features.stride(2) == 1

    @property
    def settled(self) -> bool:
        """Whether torch's own reductions read at the limit: dense, unmeasured, each channel's positions in a row."""
        return not kernels.forced() and self.ptr is None and self.measure is None and self.features.stride(2) == 1


class Once(ABC):
    """The fused steps of a layout. Features are as they came: what stands at absent positions is not read."""

    measure: Tensor | None
    dtype: torch.dtype

    @abstractmethod
    def bare(self, features: Tensor) -> Bare | None:
        """Features with ``mid = (C,)`` as the compiled loops read them; None where they cannot, as with kept axes."""

    def paying(self, step: kernels.Step, features: Tensor, *others: Tensor) -> Bare | None:
        """``bare`` where compiled loops pay and nobody differentiates by the measure or the ``others`` beside it."""
        given = [*others] if self.measure is None else [*others, self.measure]
        ragged, measured = features.ndim == 2, self.measure is not None
        if not kernels.pays(step, features, *given, ragged=ragged, measured=measured) or kernels.differentiating(
            *given
        ):
            return None
        return self.bare(features)

    def exponential_once(self, features: Tensor, rate: Tensor | float, kind: int, floor: float = 0.0) -> Tensor | None:
        """``kernels.exponential_mean`` of features as they came, ``(N, 1, C)``; None where it cannot or is slower.

        ``rate``: a number, or a tensor () or with one entry a channel, which nobody differentiates by.
        """
        step: kernels.Step = "softmax" if kind == kernels.SOFTMAX else "exponential"
        bare = self.paying(step, features, *([rate] if isinstance(rate, Tensor) else []))
        if bare is None:
            return None
        rates = torch.as_tensor(rate, dtype=torch.float64).flatten().expand(features.shape[1])
        keep = kernels.differentiating(bare.features)
        pooled: Tensor = kernels.exponential_mean(bare.features, bare.ptr, bare.facts, rates, kind, floor, keep)[0]
        return pooled.unsqueeze(1)

    def sum_once(self, features: Tensor, *, mean: bool) -> Tensor | None:
        """Sum or mean under the measure in one read, whatever stands at absent positions; None where that is slower.

        Position tensor with ``mid = (C,)`` -> pooled ``(N, 1, C)``.
        """
        bare = self.paying("sum", features)
        if bare is None or (bare.settled and features.dtype == self.dtype):
            return None
        pooled: Tensor = kernels.weighted_sum(bare.features, bare.ptr, bare.measure, True, mean)[0]
        return pooled

    def weighted_sum_once(self, features: Tensor, weights: Tensor) -> Tensor | None:
        """``weighted_sum`` in one read; None where weights differ between channels or that is slower."""
        if (
            weights.shape[2] != 1
            or weights.dtype != self.dtype
            or not kernels.pays("weighted", features, weights, ragged=features.ndim == 2)
        ):
            return None
        bare = self.bare(features)
        if bare is None or self._one_product(bare, weights):
            return None
        weights = weights[:, :, 0].flatten(2) if bare.ptr is None else weights[:, :, 0]
        pooled: Tensor = kernels.weighted_sum(bare.features, bare.ptr, weights, False, False)[0]
        return pooled

    def _one_product(self, bare: Bare, weights: Tensor) -> bool:
        """Whether torch's batched product reads faster than our loop: dense, not half, and without gradients."""
        plain = bare.ptr is None and bare.features.dtype == self.dtype
        return plain and not kernels.forced() and not kernels.differentiating(bare.features, weights)

    def softmax_once(self, scores: Tensor, temperature: Tensor | float) -> Tensor | None:
        """``softmax`` by compiled loops; None where there are none or they are slower."""
        return None
