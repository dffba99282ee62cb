"""The pool contract: a pool says how much each position counts; summing, evidence and audits follow from that."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, Unpack

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.layout import Layout, LayoutArguments, place


@dataclass(frozen=True, eq=False)
class Parts:
    """What a pool decides: ``weights`` (dense ``(N, R, C or 1, *S)``, ragged ``(T, R, C or 1)``) and ``remainder``.

    ``remainder (N, R, C, *kept)`` is what the weighted sum leaves out of the value; None means zero.
    ``value (N, R, C, *kept)``: the value too, where it had to be known for the weights; None means it was not.
    """

    weights: Tensor
    remainder: Tensor | None = None
    value: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Decomposition:
    """``value == sum over positions of weights * x, + remainder``.

    ``value (N, R, C, *kept)`` has the dtype of ``pool(x)``; ``weights`` (dense ``(N, R, C or 1, *S)``, ragged
    ``(T, R, C or 1)``) and ``remainder (N, R, C, *kept)`` the accumulation dtype (float32 for half features).
    """

    value: Tensor
    weights: Tensor
    remainder: Tensor


def check_pool_type(where: str, pool: object) -> None:
    """Raise unless ``pool`` is an instance of Pool."""
    if not isinstance(pool, Pool):
        got = f"the class {pool.__name__}" if isinstance(pool, type) else type(pool).__name__
        hint = "Write globalpool.Mean() where a model has AdaptiveAvgPool2d(1)."
        hint = "Give pools one by one, as Concat(Mean(), Max())." if isinstance(pool, list | tuple) else hint
        raise PoolError(where, "`pool` to be an instance of globalpool.Pool", got, hint)


def check_whole(where: str, name: str, number: object) -> None:
    """Raise unless ``number`` is a whole number of at least 1."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise PoolError(where, f"`{name}` as a whole number of at least 1", repr(number))


class Pool(nn.Module, ABC):
    """Base of all pools. A subclass gives ``parts`` and says whether it is ``affine``.

    ``dim`` names the spatial axes to reduce, counted as in torch on ``(N, C, *S)`` (None = all); the others are
    kept. ``empty`` says what a sample without positions gives: zeros, or an error (which waits for the device and
    is left out under ``torch.compile``).
    """

    regions: int = 1

    def __init__(self, *, dim: int | Sequence[int] | None = None, empty: Literal["zero", "raise"] = "zero") -> None:
        super().__init__()
        if empty not in ("zero", "raise"):
            raise PoolError(self.name, '`empty` to be "zero" or "raise"', repr(empty))
        self.dim = (dim,) if isinstance(dim, int) else None if dim is None else tuple(dim)
        self.empty = empty

    @property
    def name(self) -> str:
        """The word for this pool in errors and tables."""
        return type(self).__name__

    @property
    @abstractmethod
    def affine(self) -> bool:
        """Whether the weights do not depend on the features (for a fixed layout) and the remainder is zero."""

    @property
    def weights_are_gradient(self) -> bool:
        """Whether ``dy/dx`` equals the weights."""
        return self.affine

    @property
    def needs_geometry(self) -> bool:
        """Whether a ragged batch must carry ``shapes`` or ``pos``."""
        return self.dim is not None

    @property
    def has_remainder(self) -> bool:
        """Whether the value is more than the weighted sum; where not, the remainder is zero."""
        return False

    @property
    def counts_measure(self) -> bool:
        """Whether it matters how large the measure of a position is, beyond being present."""
        return True

    @property
    def needs_assignment(self) -> bool:
        """Whether a call must say which cluster each position belongs to, by ``assignment=``."""
        return False

    @abstractmethod
    def parts(self, features: Tensor, layout: Layout) -> Parts:
        """Weights and remainder for features in the layout's standard order, zero at absent positions."""

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        """``(N, R, C, *kept)``. Override it where a direct formula is faster or more accurate than the sum."""
        parts = self.parts(features, layout) if parts is None else parts
        if parts.value is not None:
            return parts.value
        pooled = layout.weighted_sum(features, parts.weights)
        return pooled if parts.remainder is None else pooled + parts.remainder

    def fused(self, features: Tensor, layout: Layout) -> Tensor | None:
        """``(N, R, C, *kept)`` in one pass, or None where no such pass is faster than ``value`` for these features.

        Unlike everywhere else, the features are as they came, also at absent positions. A subclass that changes
        ``parts`` or ``value`` and not this is pooled without it.
        """
        return None

    def __init_subclass__(cls, **arguments: object) -> None:
        super().__init_subclass__(**arguments)
        own = vars(cls)
        if "fused" not in own and ("value" in own or "parts" in own):
            cls.fused = Pool.fused  # type: ignore[method-assign]

    def pooled(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        """``value`` by the fastest way there is: what every caller of a pool asks for."""
        fused = self.fused(features, layout)
        return self.value(features, layout, parts) if fused is None else fused

    def value_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """The dtype of ``pool(x)`` for features of ``dtype``."""
        return dtype

    def arrange(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> tuple[Tensor, Layout]:
        """Features in standard order and their layout, with this pool's ``dim`` and ``empty`` applied."""
        features, arranged = self._place(x, **layout)
        # Not a product with the mask: NaN or Inf in absent positions must vanish, forward and backward.
        return arranged.present(features, 0), arranged

    def _place(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> tuple[Tensor, Layout]:
        features, arranged = place(self.name, x, self.dim, **layout)
        if self.empty == "raise" and not torch.compiler.is_compiling():
            lacking = (arranged.total() <= 0).expand(arranged.samples, *arranged.kept_shape)
            if bool(lacking.any()):
                first = lacking.reshape(arranged.samples, -1).any(1).nonzero().flatten().tolist()[:8]
                hint = 'Remove them, or build the pool with empty="zero".'
                raise PoolError(self.name, "at least one position in every sample", f"none in samples {first}", hint)
        return features, arranged

    def forward(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """Pooled vectors ``(N, R * C * prod(kept))``: region-major, then channel, then kept axes."""
        features, arranged = self._place(x, **layout)
        value = self.fused(features, arranged)
        if value is None:
            value = self.value(arranged.present(features, 0), arranged)
        return value.to(self.value_dtype(x.dtype)).flatten(1)

    def decompose(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Decomposition:
        """Value, weights and remainder in one pass; ``pool(x) == value.flatten(1)``."""
        features, arranged = self.arrange(x, **layout)
        parts = self.parts(features, arranged)
        value = self.pooled(features, arranged, parts).to(self.value_dtype(x.dtype))
        remainder = torch.zeros_like(value, dtype=arranged.dtype) if parts.remainder is None else parts.remainder
        return Decomposition(value, parts.weights, remainder)

    def out_features(self, channels: int, kept: Sequence[int] = ()) -> int:
        """Width of ``pool(x)`` for ``channels`` input channels and kept axes of the given lengths."""
        width = self.regions * channels
        for side in kept:
            width *= side
        return width

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        """Instances for features with ``channels`` channels and ``axes`` spatial axes, the default one first.

        The contract suite runs on all of them; the command line and the reference page take the first.
        """
        return [cls()]
