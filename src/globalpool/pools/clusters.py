"""Pools of pools: first within each cluster of positions, then over the clusters."""

from typing import Literal, Self

import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.layout.check import require
from globalpool.pools.base import Parts, Pool
from globalpool.pools.composition import check_plain, common_empty, widest_dtype
from globalpool.pools.grouping import Grouping, HardGrouping, SoftGrouping, pool_of_pools
from globalpool.pools.log_mean_exp import LogMeanExp
from globalpool.pools.maximum import Max
from globalpool.pools.statistics import Statistics
from globalpool.pools.sums import Mean, Sum


class Clusters(Pool):
    """``inner`` over the positions of each cluster, then ``outer`` over the clusters that have any.

    A call says which: ``pool(x, assignment=a)``, numbers from 0 within each sample (integers ``(N, *S)``, ``(T,)``), or
    shares of G clusters (floating ``(N, G, *S)``, ``(T, G)``), which are taken as measures, whatever they sum to.
    Regions outer-major, ``R = outer.regions * inner.regions``; weights ``(N, R, C or 1, *S)``: those of the cluster
    times those inside it, summed over clusters. Affine, and the weights the gradient, where both pools are.

    ``weighting="equal"``: every cluster counts one, so that a mean of means is the Mean only for clusters of equal
    size; ``"mass"``: as much as it holds, so that it always is (of shares that sum to 1).
    ``count``: the largest number of clusters a sample may have; None reads it off the numbers, which waits for the
    device and is not possible under ``torch.compile``.
    Ying et al., DiffPool (2018), section 3.2, is ``Clusters(Sum(), ...)`` with shares.
    """

    def __init__(
        self,
        inner: Pool | None = None,
        outer: Pool | None = None,
        *,
        weighting: Literal["equal", "mass"] = "equal",
        count: int | None = None,
    ) -> None:
        inner, outer = inner or Mean(), outer or Mean()
        check_plain(self.name, inner, outer)
        super().__init__(empty=common_empty((inner, outer)))
        if weighting not in ("equal", "mass"):
            raise PoolError(self.name, '`weighting` to be "equal" or "mass"', repr(weighting))
        if count is not None and count < 1:
            raise PoolError(self.name, "`count` to be at least one cluster, or None", str(count))
        self.inner, self.outer, self.weighting, self.count = inner, outer, weighting, count
        self.regions = outer.regions * inner.regions

    @property
    def affine(self) -> bool:
        return self.inner.affine and self.outer.affine

    @property
    def weights_are_gradient(self) -> bool:
        return self.inner.weights_are_gradient and self.outer.weights_are_gradient

    @property
    def needs_assignment(self) -> bool:
        return True

    def _grouping(self, layout: Layout) -> Grouping:
        assignment = layout.assignment
        if assignment is None:
            hint = "One cluster number a position, or shares of G clusters."
            raise PoolError(self.name, "`assignment=`, the cluster of each position", "none", hint)
        if assignment.is_floating_point():
            return SoftGrouping(layout, assignment)
        return HardGrouping(layout, assignment, self._count(assignment))

    def _count(self, assignment: Tensor) -> int:
        count = self.count
        if count is None:
            if torch.compiler.is_compiling():
                raise PoolError(self.name, "`count` under torch.compile", "None", "Build the pool with count=.")
            return int(assignment.max()) + 1 if assignment.numel() else 1
        expected = f"cluster numbers below `count` = {count}"
        require(
            (assignment < count).all(),
            lambda: PoolError(self.name, expected, f"the number {int(assignment.max())}", "Raise `count`."),
        )
        return count

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        return pool_of_pools(features, self._grouping(layout), self.inner, self.outer, self.weighting)

    def value_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return widest_dtype((self.inner, self.outer), dtype)

    def extra_repr(self) -> str:
        return f"weighting={self.weighting!r}" + ("" if self.count is None else f", count={self.count}")

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        rests = cls(LogMeanExp(2.0), Statistics(eps=0.1), weighting="mass", count=4)
        return [cls(count=3), cls(Sum(), Max(), count=3), rests]
