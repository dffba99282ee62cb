"""Attention by learned queries, the part of it that pools."""

from collections.abc import Sequence
from math import sqrt
from typing import Literal, Self

import torch
from torch import Tensor, nn

from globalpool import kernels
from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools.attention import randomize
from globalpool.pools.base import Parts, Pool, check_whole
from globalpool.pools.learned import Positive, check_positive, current, shown
from globalpool.pools.scores import check_channels


class LatentAttention(Pool):
    """``a[q, h] = softmax over p of (query[q, h] . key[h] x[p]) / (sqrt(width / heads) temperature)``.

    ``y[q, h] = sum_p a[q, h, p] x[p]`` over all channels: regions query-major, ``R = queries * heads``; weights
    ``(N, R, 1, *S)``. The value and output projections of multi-head attention are linear in ``y`` and belong to the
    tail. Zero queries are Mean, and that is how it starts. Not affine, and the weights are not the gradient.
    ``width``: of keys and queries (default: the channels). A measure counts a position that many times.
    Lee et al., Set Transformer (2019), section 3.2 (PMA); Zhai et al. (2022), MAP head.
    """

    affine = False

    def __init__(
        self,
        channels: int,
        queries: int = 1,
        heads: int = 1,
        width: int | None = None,
        temperature: Positive = 1.0,
        *,
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        width = channels if width is None else width
        for name, number in (("channels", channels), ("queries", queries), ("heads", heads), ("width", width)):
            check_whole(self.name, name, number)
        if width % heads:
            raise PoolError(self.name, "a `width` that `heads` divides", f"width={width}, heads={heads}")
        check_positive(self.name, "temperature", temperature)
        self.queries = nn.Parameter(torch.zeros(queries, width))
        # A key's bias would add one number to all scores of a head, which no softmax sees.
        self.keys = nn.Linear(channels, width, bias=False)
        self.heads, self.temperature, self.regions = heads, temperature, queries * heads

    def score_vectors(self) -> Tensor:
        """``(R, C)``: what each query and head looks for, queries and keys multiplied out."""
        queries = self.queries.unflatten(1, (self.heads, -1))
        keys = self.keys.weight.unflatten(0, (self.heads, -1))
        return torch.einsum("qhd,hdc->qhc", queries, keys).flatten(0, 1) / sqrt(keys.shape[1])

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        check_channels(self.name, self.keys.in_features, features)
        with kernels.full_precision(layout.device):
            vectors = self.score_vectors()
            scores = layout.from_last(layout.to_last(features.to(vectors.dtype)) @ vectors.T)
        scores = scores.to(layout.dtype).unsqueeze(2)
        return Parts(layout.softmax(scores, current(self.name, self.temperature, scores)))

    def extra_repr(self) -> str:
        return f"queries={self.queries.shape[0]}, heads={self.heads}{shown(', temperature', self.temperature)}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        several = cls(channels, queries=2, heads=2, width=4, temperature=0.5)
        randomize(several, 0)
        return [cls(channels), several]
