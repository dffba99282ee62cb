"""Pools of pools whose clusters are learned."""

from typing import Self, Unpack

from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.layout import Layout, LayoutArguments
from globalpool.pools.attention import randomize
from globalpool.pools.base import Pool, check_whole
from globalpool.pools.grouping import Grouping, SoftGrouping, Weighting
from globalpool.pools.maximum import Max
from globalpool.pools.nested import Nested
from globalpool.pools.scores import Content, content_module, position_shares
from globalpool.pools.sums import Mean, Sum


class LearnedClusters(Nested):
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
        weighting: Weighting = "equal",
    ) -> None:
        super().__init__(inner or Mean(), outer or Mean(), weighting)
        check_whole(self.name, "clusters", clusters)
        if not self.inner.counts_measure:
            got = f"{self.inner.name}, to which every share above 0 is alike"
            raise PoolError(self.name, "an `inner` pool that shares can teach", got, "TopK or LogMeanExp weigh them.")
        self.content = content_module(self.name, content, position, lambda: nn.Linear(channels, clusters))
        self.position, self.channels, self.count = position, channels, clusters

    @property
    def affine(self) -> bool:
        return self.content is None and super().affine

    @property
    def weights_are_gradient(self) -> bool:
        return self.content is None and super().weights_are_gradient

    @property
    def needs_geometry(self) -> bool:
        return self.position is not None

    def _shares(self, features: Tensor, layout: Layout) -> Tensor:
        shape = self.channels, self.count
        return position_shares(self.name, self.content, self.position, shape, features, layout)

    def shares(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """``(N, clusters, *S)`` or ``(T, clusters)``: sum to 1 at every present position, 0 elsewhere."""
        return self._shares(*self.arrange(x, **layout))

    def masses(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """``(N, clusters)``: each cluster's share of its sample; sums to 1, or 0 for an empty sample."""
        features, arranged = self.arrange(x, **layout)
        return arranged.mean(self._shares(features, arranged))

    def grouping(self, features: Tensor, layout: Layout) -> Grouping:
        return SoftGrouping(layout, self._shares(features, layout))

    def extra_repr(self) -> str:
        return f"clusters={self.count}, weighting={self.weighting!r}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        pools = [cls(channels, 2), cls(channels, 3, Sum(), Max(), weighting="mass")]
        for pool in pools:
            randomize(pool, 0)
        return pools
