"""Pools of pools: first within each cluster of positions, then over the clusters."""

from typing import Self

import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.layout.check import require
from globalpool.pools.base import Pool, check_whole
from globalpool.pools.grouping import Grouping, HardGrouping, SoftGrouping, Weighting
from globalpool.pools.log_mean_exp import LogMeanExp
from globalpool.pools.maximum import Max
from globalpool.pools.nested import Nested
from globalpool.pools.statistics import Statistics
from globalpool.pools.sums import Mean, Sum


class Clusters(Nested):
    """``inner`` over the positions of each cluster, then ``outer`` over the clusters that have any.

    A call says which: ``pool(x, assignment=a)``, numbers from 0 within each sample (integers ``(N, *S)``, ``(T,)``), or
    shares of G clusters (floating ``(N, G, *S)``, ``(T, G)``), which are taken as measures, whatever they sum to; to a
    pool that only asks what is present (Max), every share above 0 is alike.
    Regions outer-major, ``R = outer.regions * inner.regions``; weights ``(N, R, C or 1, *S)``: those of the cluster
    times those inside it, summed over clusters. Affine, and the weights the gradient, where both pools are.

    ``weighting="equal"``: every cluster counts one, so that a mean of means is the Mean only for clusters of equal
    size; ``"mass"``: as much as it holds, so that it always is (of shares that sum to 1).
    ``count``: one more than the largest number; None counts the clusters that there are, whatever their numbers, which
    waits for the device and is not possible under ``torch.compile``. ``clusters(x, ...)`` gives their vectors.
    Ying et al., DiffPool (2018), section 3.2, is ``Clusters(Sum(), ...)`` with shares.
    """

    def __init__(
        self,
        inner: Pool | None = None,
        outer: Pool | None = None,
        *,
        weighting: Weighting = "equal",
        count: int | None = None,
    ) -> None:
        super().__init__(inner or Mean(), outer or Mean(), weighting)
        if count is not None:
            check_whole(self.name, "count", count)
        self.count = count

    @property
    def needs_assignment(self) -> bool:
        return True

    def grouping(self, features: Tensor, layout: Layout) -> Grouping:
        assignment = layout.assignment
        if assignment is None:
            hint = "One cluster number a position, or shares of G clusters."
            raise PoolError(self.name, "`assignment=`, the cluster of each position", "none", hint)
        if assignment.is_floating_point():
            return SoftGrouping(layout, assignment)
        rows, count = layout.to_rows(assignment), self.count
        if count is None:
            if torch.compiler.is_compiling():
                raise PoolError(self.name, "`count` under torch.compile", "None", "Build the pool with count=.")
            return HardGrouping(layout, *_counted(rows, layout))
        expected = f"cluster numbers below `count` = {count}"
        require(
            (rows < count).all(),
            lambda: PoolError(self.name, expected, f"the number {int(rows.max())}", "Raise `count`."),
        )
        return HardGrouping(layout, rows, count)

    def extra_repr(self) -> str:
        return f"weighting={self.weighting!r}" + ("" if self.count is None else f", count={self.count}")

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        rests = cls(LogMeanExp(2.0), Statistics(eps=0.1), weighting="mass", count=4)
        return [cls(count=3), cls(Sum(), Max(), count=3), rests]


def _counted(numbers: Tensor, layout: Layout) -> tuple[Tensor, int]:
    """Clusters ``(T,)`` numbered anew within each sample, in the order of their numbers, and the most a sample has."""
    samples = layout.row_samples()
    found, of_row = torch.unique(torch.stack([samples, numbers]), dim=1, return_inverse=True)
    first = torch.searchsorted(found[0].contiguous(), torch.arange(layout.samples + 1, device=layout.device))
    return of_row - first[samples], max(int(first.diff().max()) if layout.samples else 1, 1)
