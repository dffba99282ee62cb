"""Attention pooling: each position counts by a learned score of its content, its place, or both."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn

from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool, check_whole
from globalpool.pools.learned import Learned, Positive, check_positive, current, shown
from globalpool.pools.position import PositionGrid
from globalpool.pools.scores import Content, content_module, position_scores, zero_linear


class Attention(Pool):
    """``y[h] = sum_p a[h, p] x[p]``, ``a[h] = softmax over p of (content(x[p])[h] + position[p, h]) / temperature``.

    Weights ``(N, heads, 1, *S)``: each head weights all channels, ``R = heads``. Affine, and its weights the
    gradient, only without ``content``. Zero scores are Mean, and that is how it starts; temperature to 0 is uniform
    over the positions of the highest score. A measure counts a position that many times.

    ``content``: ``"linear"`` (one score vector a head), any module ``(*, C) -> (*, heads)``, or None.
    ``position``: a module from relative coordinates ``(*, D)`` in [0, 1] to ``(*, heads)``: ``PositionGrid``,
    ``PositionSine``, ``RegionOfInterest`` or your own.
    Both are called at absent positions too, with zero vectors and centred coordinates, and must be finite there.
    ``temperature``: positive, ``Learned`` (one, or ``channels=heads`` of them) or ``Annealed``.
    Ilse, Tomczak, Welling (2018), section 2.4; Zhai et al. (2022).
    """

    def __init__(
        self,
        channels: int,
        content: Content = "linear",
        position: nn.Module | None = None,
        temperature: Positive = 1.0,
        heads: int = 1,
        *,
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        check_positive(self.name, "temperature", temperature)
        check_whole(self.name, "heads", heads)
        self.content = content_module(self.name, content, position, lambda: zero_linear(channels, heads))
        self.position, self.temperature = position, temperature
        self.channels, self.regions = channels, heads

    @property
    def affine(self) -> bool:
        return self.content is None

    @property
    def needs_geometry(self) -> bool:
        return self.position is not None or self.dim is not None

    def scores(self, features: Tensor, layout: Layout) -> Tensor:
        """Content plus position, before the temperature: a position tensor with ``mid = (heads,)``."""
        shape = self.channels, self.regions
        return position_scores(self.name, self.content, self.position, shape, features, layout)

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        scores = self.scores(features, layout).unsqueeze(2)
        return Parts(layout.softmax(scores, current(self.name, self.temperature, scores)))

    def extra_repr(self) -> str:
        return f"heads={self.regions}{shown(', temperature', self.temperature)}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        both = cls(channels, position=PositionGrid(*(3,) * axes, heads=2), temperature=Learned(0.5), heads=2)
        place = cls(channels, content=None, position=PositionGrid(*(3,) * axes))
        for number, pool in enumerate((both, place)):
            randomize(pool, number)
        return [cls(channels), both, place]


def randomize(pool: Pool, seed: int) -> None:
    """Standard normal scores, for examples: what starts as the mean would hide a wrong weight."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in pool.named_parameters():
            if not name.endswith("log"):  # temperatures and exponents stay what they are
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
