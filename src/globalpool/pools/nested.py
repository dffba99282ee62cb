"""A pool of pools: one within each cluster of positions, another over the clusters; their weights multiply."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.layout import Layout, LayoutArguments
from globalpool.pools.base import Parts, Pool
from globalpool.pools.composition import Composition, check_plain
from globalpool.pools.grouping import Grouping, Weighting


class Nested(Composition, ABC):
    """``outer`` over the clusters that have positions, of ``inner`` over the positions of each; regions outer-major."""

    def __init__(self, inner: Pool, outer: Pool, weighting: Weighting) -> None:
        check_plain(self.name, inner, outer)
        super().__init__((inner, outer))
        if weighting not in ("equal", "mass"):
            raise PoolError(self.name, '`weighting` to be "equal" or "mass"', repr(weighting))
        self.inner, self.outer, self.weighting = inner, outer, weighting
        self.regions = outer.regions * inner.regions

    @property
    def members(self) -> Sequence[Pool]:
        return self.inner, self.outer

    @abstractmethod
    def grouping(self, features: Tensor, layout: Layout) -> Grouping:
        """The clusters of each sample."""

    def clusters(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> tuple[Tensor, Tensor]:
        """What ``inner`` gives for every cluster, ``(N, inner regions, C, G)``, and the mass of each ``(N, G)``.

        Mass is the number of positions, the measure or the shares it holds; a cluster without any has 0 and zeros.
        """
        features, arranged = self.arrange(x, **layout)
        grouping = self.grouping(features, arranged)
        return grouping.values(self.inner, features), grouping.mass

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        if parts is not None and parts.value is not None:
            return parts.value
        grouping = self.grouping(features, layout)
        values, clusters = grouping.values(self.inner, features), grouping.clusters(self.weighting)
        above = self.outer.pooled(clusters.present(values.flatten(1, 2), 0), clusters)
        return _split(above, values.shape[1:3]).flatten(1, 2)

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        grouping = self.grouping(features, layout)
        inside, clusters = grouping.pool(self.inner, features), grouping.clusters(self.weighting)
        regions = inside.value.shape[1:3]
        vectors = clusters.present(inside.value.flatten(1, 2), 0)  # (N, R * C, G)
        parts = self.outer.parts(vectors, clusters)
        value = self.outer.pooled(vectors, clusters, parts)  # (N, R2, R * C)
        weights = parts.weights  # to (N, R2, R or 1, C or 1, G)
        weights = weights.unsqueeze(2) if weights.shape[2] == 1 else _split(weights, regions)
        remainder = None if parts.remainder is None else _split(parts.remainder, regions)
        if inside.remainder is not None:
            below = (weights * inside.remainder.unsqueeze(1)).sum(-1)
            remainder = below if remainder is None else remainder + below
        return Parts(
            grouping.multiply(weights, inside),
            None if remainder is None else remainder.flatten(1, 2),
            _split(value, regions).flatten(1, 2),
        )


def _split(values: Tensor, regions: torch.Size) -> Tensor:
    """``(N, R2, R * C, *)`` -> ``(N, R2, R, C, *)``."""
    return values.reshape(*values.shape[:2], *regions, *values.shape[3:])
