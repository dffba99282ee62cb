"""Fixed regions: each sample's own extent cut into a grid of bins."""

from collections.abc import Sequence
from math import prod
from typing import Literal, Self

import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.layout import Axis, Layout
from globalpool.pools.base import Parts, Pool


class Grid(Pool):
    """The mean of each bin of a grid; ``Grid(2, 2)`` gives the quadrants of a map, ``R = prod(bins)`` regions.

    Weights ``(N, R, 1, *S)``: the share of the position that lies in the bin, times its measure, over their sum;
    row-major over bins. Affine. A bin without present positions gives zeros.
    ``partition="exact"``: disjoint bins of equal length, positions on a border are split by area, so that the
    area-weighted mean of the regions is the Mean. ``partition="torch"``: the overlapping integer bins of
    ``torch.nn.AdaptiveAvgPool``, ``[floor(k L / B), ceil((k + 1) L / B))``.
    Bins span each sample's extent, not the canvas; points (``pos``) fall whole into the bin they lie in.
    Lazebnik, Schmid, Ponce (2006); He et al., SPP-net (2014), section 2.2.
    """

    affine = True

    def __init__(
        self,
        *bins: int,
        partition: Literal["exact", "torch"] = "exact",
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        if not bins or not all(isinstance(count, int) and count > 0 for count in bins):
            raise PoolError(self.name, "one positive number of bins for each reduced axis", str(bins), "As Grid(2, 2).")
        if partition not in ("exact", "torch"):
            raise PoolError(self.name, '`partition` to be "exact" or "torch"', repr(partition))
        self.bins, self.partition = bins, partition
        self.regions = prod(bins)

    @property
    def needs_geometry(self) -> bool:
        return True

    def _share(self, axis: Axis, bins: int) -> Tensor:
        """Length of each position inside each bin (times ``bins``), as a position tensor with ``mid = (bins,)``."""
        start, stop, length = (fact.unsqueeze(1) for fact in (axis.start, axis.stop, axis.length))
        bin_ = torch.arange(bins, device=start.device).reshape(1, -1, *(1,) * (start.ndim - 2))
        if self.partition == "torch":
            first = torch.div(bin_ * length, bins, rounding_mode="floor")
            last = -torch.div(-(bin_ + 1) * length, bins, rounding_mode="floor")
            return (start >= first) & (start < last)
        low, high = bin_ * length, (bin_ + 1) * length
        overlap = (torch.minimum(stop * bins, high) - torch.maximum(start * bins, low)).clamp(min=0)
        inside = (start * bins >= low) & ((start * bins < high) | ((bin_ == bins - 1) & (start == length)))
        return torch.where(stop > start, overlap, inside.to(overlap.dtype))

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        return Parts(self.shares(layout, self.name))

    def shares(self, layout: Layout, where: str) -> Tensor:
        """The weights of all bins, ``mid = (R, 1)``; ``where`` names the pool in errors."""
        axes = layout.axes(where)
        if self.partition == "torch" and any(axis.points for axis in axes):
            got = "points (`pos`)"
            raise PoolError(where, 'cells for partition="torch"', got, 'Use partition="exact", or pass shapes.')
        if len(axes) != len(self.bins):
            raise PoolError(
                where,
                f"{len(axes)} numbers of bins, one for each reduced axis",
                str(self.bins),
                f"Write Grid({', '.join(['2'] * len(axes))}) or Pyramid(axes={len(axes)}).",
            )
        shares: Tensor | None = None
        for axis, bins in zip(axes, self.bins, strict=True):
            share = self._share(axis, bins).to(layout.dtype)
            shares = share if shares is None else (shares.unsqueeze(2) * share.unsqueeze(1)).flatten(1, 2)
        assert shares is not None
        return layout.normalize(layout.weigh(shares.unsqueeze(2) * layout.ones()))

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.bins))}, partition={self.partition!r}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        return [cls(*(2,) * axes), cls(*range(3, 3 - axes, -1), partition="torch")]
