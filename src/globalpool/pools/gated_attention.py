"""Gated attention, the pool of multiple-instance learning."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn

from globalpool.layout import Layout
from globalpool.pools.attention import randomize
from globalpool.pools.base import Parts, Pool, check_whole
from globalpool.pools.learned import Positive, check_positive, current, shown
from globalpool.pools.scores import position_scores, zero_linear


class GatedAttention(Pool):
    """``y[h] = sum_p a[h, p] x[p]``, ``a[h] = softmax over p of w[h] (tanh(V x[p]) * sigmoid(U x[p])) / temperature``.

    Weights ``(N, heads, 1, *S)``, ``R = heads``. Zero ``w`` is Mean, and that is how it starts. Not affine, and the
    weights are not the gradient. ``hidden``: rows of V and U. For features (a bag of instances) as they are; a layer
    before the attention belongs to the trunk. A measure counts a position that many times.
    Ilse, Tomczak, Welling (2018), equation 9.
    """

    affine = False

    def __init__(
        self,
        channels: int,
        hidden: int = 128,
        temperature: Positive = 1.0,
        heads: int = 1,
        *,
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        for name, number in (("channels", channels), ("hidden", hidden), ("heads", heads)):
            check_whole(self.name, name, number)
        check_positive(self.name, "temperature", temperature)
        self.content, self.temperature = GatedScores(channels, hidden, heads), temperature
        self.channels, self.regions = channels, heads

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        shape = self.channels, self.regions
        scores = position_scores(self.name, self.content, None, shape, features, layout).unsqueeze(2)
        return Parts(layout.softmax(scores, current(self.name, self.temperature, scores)))

    def extra_repr(self) -> str:
        return shown("temperature", self.temperature)

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        pools = [cls(channels, hidden=4), cls(channels, hidden=4, temperature=0.5, heads=2)]
        for pool in pools:
            randomize(pool, 0)
        return pools


class GatedScores(nn.Module):
    """``(*, C) -> (*, heads)``: ``w (tanh(V x) * sigmoid(U x))``, zero at the start."""

    def __init__(self, channels: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.values, self.gates = nn.Linear(channels, hidden), nn.Linear(channels, hidden)
        self.scores = zero_linear(hidden, heads)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.scores(torch.tanh(self.values(x)) * torch.sigmoid(self.gates(x)))
        return scores
