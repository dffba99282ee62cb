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
    def values(self, pool: Pool, features: Tensor) -> Tensor:
        """``pool`` on every cluster by itself, ``(N, R, C, G)``; 0 where a cluster is empty."""

    @abstractmethod
    def pool(self, pool: Pool, features: Tensor) -> Inside:
        """The same with the weights inside the clusters."""

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
        """``number (T,)``: the cluster of each row within its sample, below ``count``."""
        self.layout, self.samples, self.count = layout, layout.samples, count
        index, self.order = (layout.row_samples() * count + number).sort(stable=True)
        self.place = self.order.argsort()
        ptr = torch.searchsorted(index, torch.arange(self.samples * count + 1, device=layout.device))
        measure = None if layout.measure is None else layout.to_rows(layout.measure)[self.order]
        self.inside = Ragged(
            self.samples * count, index.shape[0], ptr, layout.dtype, layout.device, index, measure=measure
        )
        self.mass = self.inside.total().reshape(self.samples, count)

    def values(self, pool: Pool, features: Tensor) -> Tensor:
        return self._by_sample(pool.pooled(self.layout.to_rows(features)[self.order], self.inside))

    def pool(self, pool: Pool, features: Tensor) -> Inside:
        rows = self.layout.to_rows(features)[self.order]
        parts = pool.parts(rows, self.inside)
        value = self._by_sample(pool.pooled(rows, self.inside, parts))
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
        held = layout.weigh_shares(shares)
        self.mass = layout.sum(held)
        self.layouts = [layout.with_measure(held[:, cluster]) for cluster in range(shares.shape[1])]

    def values(self, pool: Pool, features: Tensor) -> Tensor:
        if pool.affine:
            return self.pool(pool, features).value
        return torch.stack([pool.pooled(layout.present(features, 0), layout) for layout in self.layouts], -1)

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
            values.append(pool.pooled(held, layout, own))
            rests.append(torch.zeros_like(values[-1]) if own.remainder is None else own.remainder)
        whole = all(own.remainder is None for own in parts)
        return Inside(torch.stack(values, -1), None if whole else torch.stack(rests, -1), parts)

    def multiply(self, outer: Tensor, inside: Inside) -> Tensor:
        total: Tensor | None = None
        for cluster, (layout, parts) in enumerate(zip(self.layouts, inside.parts, strict=True)):
            weights = layout.spread(outer[..., cluster]) * parts.weights.unsqueeze(1)
            total = weights if total is None else total + weights
        assert total is not None
        return total.flatten(1, 2)
