"""The positions of each sample in clusters: a pool on every cluster, and its weights back at the positions."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from globalpool.layout import Dense, Layout, Ragged
from globalpool.pools.base import Parts, Pool

#: What a cluster counts among the clusters of its sample: one, or the measure it holds.
Weighting = Literal["equal", "mass"]


@dataclass(frozen=True, eq=False)
class Inside:
    """A pool on every cluster: ``value`` and ``remainder (N, R, C, G)``, 0 where empty, and what they come from."""

    value: Tensor
    remainder: Tensor | None
    parts: list[Parts]


class Grouping(ABC):
    """G clusters a sample. ``mass (N, G)``: the measure each holds, 0 for one without positions."""

    mass: Tensor

    @abstractmethod
    def pool(self, pool: Pool, features: Tensor) -> Inside:
        """``pool`` on every cluster by itself."""

    @abstractmethod
    def multiply(self, outer: Tensor, inside: Inside) -> Tensor:
        """Weights inside the clusters times those of the clusters, ``outer (N, R2, R or 1, C or 1, G)``.

        Summed over the clusters of each position: a position tensor with ``mid = (R2 * R, C or 1)``.
        """

    def clusters(self, weighting: Weighting) -> Dense:
        """The clusters as the positions of another pool, empty ones absent."""
        samples, count = self.mass.shape
        measure = self.mass if weighting == "mass" else (self.mass > 0).to(self.mass.dtype)
        return Dense(samples, (count,), (0,), self.mass.dtype, self.mass.device, measure)


class HardGrouping(Grouping):
    """Each position in one cluster: the rows are sorted by cluster, and each cluster is a sample."""

    def __init__(self, layout: Layout, number: Tensor, count: int) -> None:
        self.layout, self.samples, self.count = layout, layout.samples, count
        cluster = layout.row_samples() * count + layout.to_rows(number)
        index, self.order = cluster.sort(stable=True)
        self.place = self.order.argsort()
        ptr = torch.searchsorted(index, torch.arange(self.samples * count + 1, device=layout.device))
        measure = None if layout.measure is None else layout.to_rows(layout.measure)[self.order]
        self.inside = Ragged(self.samples * count, index, index, ptr, layout.dtype, layout.device, measure=measure)
        self.mass = self.inside.total().reshape(self.samples, count)

    def pool(self, pool: Pool, features: Tensor) -> Inside:
        rows = self.layout.to_rows(features)[self.order]
        parts = pool.parts(rows, self.inside)
        value = self._by_sample(pool.value(rows, self.inside, parts))
        return Inside(value, None if parts.remainder is None else self._by_sample(parts.remainder), [parts])

    def _by_sample(self, pooled: Tensor) -> Tensor:
        return pooled.reshape(self.samples, self.count, *pooled.shape[1:]).movedim(1, -1)

    def multiply(self, outer: Tensor, inside: Inside) -> Tensor:
        (parts,) = inside.parts
        weights = self.inside.spread(outer.movedim(-1, 1).flatten(0, 1)) * parts.weights.unsqueeze(1)
        return self.layout.from_rows(weights.flatten(1, 2)[self.place])


class SoftGrouping(Grouping):
    """Each position shared out: every cluster is the whole sample under its own measure."""

    def __init__(self, layout: Layout, shares: Tensor) -> None:
        self.layout = layout
        held = layout.weigh(shares)
        self.mass = layout.sum(held)
        self.layouts = [layout.with_measure(held[:, cluster]) for cluster in range(shares.shape[1])]

    def pool(self, pool: Pool, features: Tensor) -> Inside:
        if pool.affine:  # the weights need no features, and one product serves all clusters
            parts = [pool.parts(features, layout) for layout in self.layouts]
            pooled = self.layout.weighted_sum(features, torch.cat([own.weights for own in parts], 1))
            value = pooled.reshape(pooled.shape[0], len(parts), pool.regions, *pooled.shape[2:]).movedim(1, -1)
            return Inside(value, None, parts)
        parts, values, rests = [], [], []
        for layout in self.layouts:
            held = layout.present(features, 0)
            own = pool.parts(held, layout)
            parts.append(own)
            values.append(pool.value(held, layout, own))
            rests.append(torch.zeros_like(values[-1]) if own.remainder is None else own.remainder)
        whole = all(own.remainder is None for own in parts)
        return Inside(torch.stack(values, -1), None if whole else torch.stack(rests, -1), parts)

    def multiply(self, outer: Tensor, inside: Inside) -> Tensor:
        each = [
            layout.spread(outer[..., cluster]) * parts.weights.unsqueeze(1)
            for cluster, (layout, parts) in enumerate(zip(self.layouts, inside.parts, strict=True))
        ]
        return torch.stack(each).sum(0).flatten(1, 2)


def pool_of_pools(features: Tensor, grouping: Grouping, inner: Pool, outer: Pool, weighting: Weighting) -> Parts:
    """``outer`` over the clusters of ``inner`` over the positions of each: regions outer-major, weights multiplied."""
    inside, clusters = grouping.pool(inner, features), grouping.clusters(weighting)
    regions = inside.value.shape[1:3]
    vectors = clusters.present(inside.value.flatten(1, 2), 0)  # (N, R * C, G)
    parts = outer.parts(vectors, clusters)
    value = outer.value(vectors, clusters, parts)  # (N, R2, R * C)
    weights = parts.weights
    shaped = weights.unsqueeze(2) if weights.shape[2] == 1 else _split(weights, regions)  # (N, R2, R or 1, C or 1, G)
    remainder = None if parts.remainder is None else _split(parts.remainder, regions)
    if inside.remainder is not None:
        below = (shaped * inside.remainder.unsqueeze(1)).sum(-1)
        remainder = below if remainder is None else remainder + below
    return Parts(
        grouping.multiply(shaped, inside),
        None if remainder is None else remainder.flatten(1, 2),
        _split(value, regions).flatten(1, 2),
    )


def _split(values: Tensor, regions: torch.Size) -> Tensor:
    """``(N, R2, R * C, *)`` -> ``(N, R2, R, C, *)``."""
    return values.reshape(*values.shape[:2], *regions, *values.shape[3:])
