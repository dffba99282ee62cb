"""Attention pooling: each position counts by a learned score of its content, its place, or both."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool
from globalpool.pools.learned import Learned, check_positive, current
from globalpool.pools.position import PositionGrid


class Attention(Pool):
    """``y[h] = sum_p a[h, p] x[p]``, ``a[h] = softmax over p of (content(x[p])[h] + position[p, h]) / temperature``.

    Weights ``(N, heads, 1, *S)``: each head weights all channels, ``R = heads``. Affine, and its weights the
    gradient, only without ``content``. Zero scores are Mean, and that is how it starts; temperature to 0 is uniform
    over the positions of the highest score. A measure counts a position that many times.

    ``content``: ``"linear"`` (one score vector a head), any module ``(*, C) -> (*, heads)``, or None.
    ``position``: a module from relative coordinates ``(*, D)`` in [0, 1] to ``(*, heads)``, such as ``PositionGrid``.
    Both are called at absent positions too, with zero vectors and centred coordinates, and must be finite there.
    ``temperature``: positive, or ``Learned`` (one, or ``channels=heads`` of them).
    Ilse, Tomczak, Welling (2018), section 2.4; Zhai et al. (2022).
    """

    def __init__(
        self,
        channels: int,
        content: nn.Module | Literal["linear"] | None = "linear",
        position: nn.Module | None = None,
        temperature: float | Learned = 1.0,
        heads: int = 1,
        *,
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        check_positive(self.name, "temperature", temperature)
        if content is None and position is None:
            raise PoolError(
                self.name, "`content`, `position` or both", "neither", "Without scores it is the pool Mean."
            )
        if isinstance(content, str):
            if content != "linear":
                raise PoolError(self.name, '`content` to be "linear", a module or None', repr(content))
            content = nn.Linear(channels, heads, bias=False)
            nn.init.zeros_(content.weight)
        self.content, self.position, self.temperature = content, position, temperature
        self.regions = heads

    @property
    def affine(self) -> bool:
        return self.content is None

    @property
    def needs_geometry(self) -> bool:
        return self.position is not None or self.dim is not None

    def scores(self, features: Tensor, layout: Layout) -> Tensor:
        """Content plus position, before the temperature: a position tensor with ``mid = (heads,)``."""
        scores: Tensor | None = None
        if self.content is not None:
            if isinstance(self.content, nn.Linear) and self.content.in_features != features.shape[1]:
                hint = "Build it with the channels of the features; channels last needs channel_dim=-1."
                raise PoolError(self.name, f"{self.content.in_features} channels", f"{features.shape[1]}", hint)
            scores = self.content(_in_dtype_of(self.content, layout.to_last(features))).to(layout.dtype)
        if self.position is not None:
            coordinates = layout.coordinates(self.name)
            if not isinstance(self.position, PositionGrid):  # which interpolates in the coordinates' own dtype
                coordinates = _in_dtype_of(self.position, coordinates)
            place = self.position(coordinates).to(layout.dtype)
            scores = place if scores is None else scores + place
        assert scores is not None
        if scores.shape[-1] != self.regions:
            raise PoolError(self.name, f"scores (*, {self.regions}), one a head", f"{tuple(scores.shape)}")
        return layout.from_last(scores)

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        scores = self.scores(features, layout).unsqueeze(2) * layout.ones()
        return Parts(layout.softmax(scores, current(self.name, self.temperature, scores)))

    def extra_repr(self) -> str:
        fixed = "" if isinstance(self.temperature, Learned) else f", temperature={self.temperature}"
        return f"heads={self.regions}{fixed}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        both = cls(channels, position=PositionGrid(*(3,) * axes, heads=2), temperature=Learned(0.5), heads=2)
        place = cls(channels, content=None, position=PositionGrid(*(3,) * axes))
        pools = [cls(channels), both, place]
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in (p for pool in pools[1:] for n, p in pool.named_parameters() if "log" not in n):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        return pools


def _in_dtype_of(module: nn.Module, values: Tensor) -> Tensor:
    first = next(module.parameters(), None)
    return values if first is None else values.to(first.dtype)
