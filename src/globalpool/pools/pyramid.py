"""Spatial pyramid pooling: grids of several resolutions together."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool, check_whole
from globalpool.pools.grid import Grid


class Pyramid(Pool):
    """The means of the bins of several grids: ``Pyramid((1, 2, 4))`` is the mean, 2 x 2 and 4 x 4 bins, R = 21.

    ``levels``: bins along each of ``axes`` reduced axes, or a tuple with one number an axis. Weights ``(N, R, 1, *S)``,
    level by level, each as in ``Grid`` and with its ``partition``. Affine. Of any size, R * C features.
    Lazebnik, Schmid, Ponce (2006); He et al., SPP-net (2014), section 2.2 (whose windows leave positions out at some
    sizes; ``partition="torch"`` is what adaptive pooling makes of them).
    """

    affine = True

    def __init__(
        self,
        levels: Sequence[int | tuple[int, ...]] = (1, 2, 4),
        axes: int = 2,
        *,
        partition: Literal["exact", "torch"] = "exact",
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        check_whole(self.name, "axes", axes)
        if not isinstance(levels, Sequence) or not levels:
            raise PoolError(self.name, "`levels` as a sequence of at least one", repr(levels), "As Pyramid((1, 2, 4)).")
        bins = [(level,) * axes if isinstance(level, int) else tuple(level) for level in levels]
        if any(len(level) != axes for level in bins):
            raise PoolError(self.name, f"levels as one number, or {axes} of them", str(tuple(levels)), "See `axes`.")
        self.grids = [Grid(*level, partition=partition) for level in bins]  # without parameters
        self.regions = sum(grid.regions for grid in self.grids)

    @property
    def needs_geometry(self) -> bool:
        return True

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        return Parts(torch.cat([grid.shares(layout, self.name) for grid in self.grids], 1))

    def extra_repr(self) -> str:
        return f"levels={tuple(grid.bins for grid in self.grids)}, partition={self.grids[0].partition!r}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls((1, 2), axes), cls(((3,) + (1,) * (axes - 1), 2), axes, partition="torch")]
