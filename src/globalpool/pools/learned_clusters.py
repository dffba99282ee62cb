"""Pools of pools whose clusters are learned."""

from typing import Literal, Self, Unpack

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.layout import Layout, LayoutArguments
from globalpool.pools.attention import randomize
from globalpool.pools.base import Parts, Pool
from globalpool.pools.composition import check_plain, common_empty, widest_dtype
from globalpool.pools.grouping import SoftGrouping, pool_of_pools
from globalpool.pools.maximum import Max
from globalpool.pools.scores import Content, content_module, position_shares
from globalpool.pools.sums import Mean, Sum


class LearnedClusters(Pool):
    """``Clusters`` with shares from a network: a softmax over ``clusters`` scores at each position.

    ``inner`` (default Mean) within each cluster under its shares, then ``outer`` (default Mean) over the clusters;
    regions, weights and ``weighting`` as in ``Clusters``. Affine only without ``content`` and with affine pools; with
    ``content`` the weights are not the gradient. ``content`` and ``position`` as in ``LearnedRegions``, whose
    assignment it shares: regions keep one vector each, clusters are pooled once more.
    ``shares`` and ``masses`` give the assignment; ``balance_loss`` works against collapse.
    Ying et al., DiffPool (2018), section 3.2; Bianchi, Grattarola, Alippi, MinCutPool (2020), section 3.
    """

    def __init__(
        self,
        channels: int,
        clusters: int,
        inner: Pool | None = None,
        outer: Pool | None = None,
        content: Content = "linear",
        position: nn.Module | None = None,
        *,
        weighting: Literal["equal", "mass"] = "equal",
    ) -> None:
        inner, outer = inner or Mean(), outer or Mean()
        check_plain(self.name, inner, outer)
        super().__init__(empty=common_empty((inner, outer)))
        if clusters < 1:
            raise PoolError(self.name, "at least one cluster", str(clusters))
        if weighting not in ("equal", "mass"):
            raise PoolError(self.name, '`weighting` to be "equal" or "mass"', repr(weighting))
        self.inner, self.outer, self.weighting, self.clusters = inner, outer, weighting, clusters
        self.content = content_module(self.name, content, position, nn.Linear(channels, clusters))
        self.position, self.channels = position, channels
        self.regions = outer.regions * inner.regions

    @property
    def affine(self) -> bool:
        return self.content is None and self.inner.affine and self.outer.affine

    @property
    def weights_are_gradient(self) -> bool:
        return self.content is None and self.inner.weights_are_gradient and self.outer.weights_are_gradient

    @property
    def needs_geometry(self) -> bool:
        return self.position is not None

    def _shares(self, features: Tensor, layout: Layout) -> Tensor:
        shape = self.channels, self.clusters
        return position_shares(self.name, self.content, self.position, shape, features, layout)

    def shares(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """``(N, clusters, *S)`` or ``(T, clusters)``: sum to 1 at every present position, 0 elsewhere."""
        return self._shares(*self.arrange(x, **layout))

    def masses(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """``(N, clusters)``: each cluster's share of its sample; sums to 1, or 0 for an empty sample."""
        features, arranged = self.arrange(x, **layout)
        return arranged.mean(self._shares(features, arranged))

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        grouping = SoftGrouping(layout, self._shares(features, layout))
        return pool_of_pools(features, grouping, self.inner, self.outer, self.weighting)

    def value_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return widest_dtype((self.inner, self.outer), dtype)

    def extra_repr(self) -> str:
        return f"clusters={self.clusters}, weighting={self.weighting!r}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        pools = [cls(channels, 2), cls(channels, 3, Sum(), Max(), weighting="mass")]
        for pool in pools:
            randomize(pool, 0)
        return pools
