"""Learned regions: soft masks that share out each position."""

from collections.abc import Sequence
from typing import Literal, Self, Unpack

from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.layout import Layout, LayoutArguments
from globalpool.pools.attention import randomize
from globalpool.pools.base import Parts, Pool, check_whole
from globalpool.pools.position import PositionGrid
from globalpool.pools.scores import Content, content_module, position_shares


class LearnedRegions(Pool):
    """Masks ``m[r, p]``, a softmax over the REGIONS at each position, so that they sum to 1 there (not over positions).

    ``normalize="area"``: ``z[r] = (1/N) sum_p m[r, p] x[p]``, whose sum over regions is the mean.
    ``normalize="mass"``: ``z[r] = sum_p m[r, p] x[p] / sum_p m[r, p]``, the mean of the region itself; the sum of
    ``mass[r] z[r]``, ``mass[r] = (1/N) sum_p m[r, p]``, is the mean. Weights ``(N, regions, 1, *S)``.
    One region is Mean; equal scores give Mean / R ("area") and Mean ("mass"). Affine, and the weights the gradient,
    only without ``content``.

    ``content``: ``"linear"`` (a score vector and a number for each region, random at the start: equal masks would get
    equal gradients), any module ``(*, C) -> (*, regions)``, or None. ``position``: as in ``Attention``; give it a
    ``std``. ``balance_loss`` keeps masks from collapsing into one, ``usage_entropy`` tells whether they have.
    Soft assignment of positions as in Arandjelovic et al., NetVLAD (2016), section 3.1; "mass" is the weighted mean of
    Locatello et al., Slot Attention (2020), section 2.1, without its offset.
    """

    def __init__(
        self,
        channels: int,
        regions: int,
        content: Content = "linear",
        position: nn.Module | None = None,
        *,
        normalize: Literal["area", "mass"] = "area",
        dim: int | Sequence[int] | None = None,
        empty: Literal["zero", "raise"] = "zero",
    ) -> None:
        super().__init__(dim=dim, empty=empty)
        check_whole(self.name, "regions", regions)
        if normalize not in ("area", "mass"):
            raise PoolError(self.name, '`normalize` to be "area" or "mass"', repr(normalize))
        self.content = content_module(self.name, content, position, lambda: nn.Linear(channels, regions))
        self.position, self.normalize = position, normalize
        self.channels, self.regions = channels, regions

    @property
    def affine(self) -> bool:
        return self.content is None

    @property
    def needs_geometry(self) -> bool:
        return self.position is not None or self.dim is not None

    def _masks(self, features: Tensor, layout: Layout) -> Tensor:
        shape = self.channels, self.regions
        return position_shares(self.name, self.content, self.position, shape, features, layout)

    def masks(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """``(N, regions, *S)`` or ``(T, regions)``: shares that sum to 1 at every present position, 0 elsewhere."""
        return self._masks(*self.arrange(x, **layout))

    def masses(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """``(N, regions, *kept)``: each region's share of its sample; sums to 1, or 0 for an empty sample."""
        features, arranged = self.arrange(x, **layout)
        return arranged.mean(self._masks(features, arranged))

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        masks = layout.weigh_shares(self._masks(features, layout)).unsqueeze(2)
        if self.normalize == "mass":
            return Parts(layout.normalize(masks))
        return Parts(masks / layout.spread(layout.divisor(2)))

    def extra_repr(self) -> str:
        return f"regions={self.regions}, normalize={self.normalize!r}"

    @classmethod
    def examples(cls, channels: int, axes: int) -> list[Self]:
        place = cls(channels, 3, None, PositionGrid(*(3,) * axes, heads=3), normalize="mass")
        pools = [cls(channels, 2), place, cls(channels, 2, normalize="mass")]
        for pool in pools:
            randomize(pool, 0)
        return pools
