"""Sufficient statistics of a linear head: what one pass over the data leaves behind, whatever the number of samples."""

from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from globalpool.errors import PoolError


@dataclass(frozen=True, eq=False)
class HeadStatistics:
    """Counts, means and centred products of pooled vectors ``x (F,)`` and targets ``y (K,)``, in float64.

    ``count``: samples. ``mean (F,)``, ``target_mean (K,)``. ``scatter (F, F) = sum (x - mean)(x - mean)'``,
    ``cross (F, K) = sum (x - mean)(y - target_mean)'``, ``target_scatter (K,) = sum (y - target_mean)^2``.
    ``class_counts (K,)``, int64: samples a class, None when the targets are not class ids. ``centre``: "mean", or
    "zero" for products about zero (both means are zeros then), which a layer without a bias is fitted from.

    ``a + b``, ``sum(parts)``: the statistics of both sets of samples, for shards, ranks (all_gather_object, then sum)
    and federated clients. Centred products and not raw sums, since ``X'X - n mean mean'`` loses the digits that
    ill-conditioned features need; the rule for adding them is exact (Chan, Golub, LeVeque, Updating formulae and a
    pairwise algorithm for computing sample variances, 1979).
    """

    count: int
    mean: Tensor
    scatter: Tensor
    target_mean: Tensor
    cross: Tensor
    target_scatter: Tensor
    class_counts: Tensor | None = None
    centre: Literal["mean", "zero"] = "mean"

    @classmethod
    def of(cls, vectors: Tensor, targets: Tensor, class_counts: Tensor | None = None) -> Self:
        """The statistics of ``vectors (B, F)`` and ``targets (B, K)``, B at least 1."""
        x, y = vectors.double(), targets.double()
        mean, target_mean = x.mean(0), y.mean(0)
        x, y = x - mean, y - target_mean
        return cls(x.shape[0], mean, x.T @ x, target_mean, x.T @ y, y.square().sum(0), class_counts)

    def __add__(self, other: "HeadStatistics") -> "HeadStatistics":
        self._check_fits(other)
        other = other.to(self.mean.device)
        count = self.count + other.count
        moved = other.mean - self.mean
        target_moved = other.target_mean - self.target_mean
        share = other.count / count
        between = self.count * share
        counts = None
        if self.class_counts is not None and other.class_counts is not None:
            counts = self.class_counts + other.class_counts
        return HeadStatistics(
            count,
            self.mean + share * moved,
            torch.addr(self.scatter + other.scatter, moved, moved, alpha=between),
            self.target_mean + share * target_moved,
            torch.addr(self.cross + other.cross, moved, target_moved, alpha=between),
            self.target_scatter + other.target_scatter + between * target_moved.square(),
            counts,
            self.centre,
        )

    def __radd__(self, other: int) -> "HeadStatistics":
        """``sum(parts)`` begins with 0."""
        return self if other == 0 else NotImplemented

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        return replace(
            self,
            mean=self.mean.to(device),
            scatter=self.scatter.to(device),
            target_mean=self.target_mean.to(device),
            cross=self.cross.to(device),
            target_scatter=self.target_scatter.to(device),
            class_counts=None if self.class_counts is None else self.class_counts.to(device),
        )

    def about_zero(self) -> "HeadStatistics":
        """The same samples with ``centre`` "zero"."""
        return HeadStatistics(
            self.count,
            torch.zeros_like(self.mean),
            self.scatter + self.count * torch.outer(self.mean, self.mean),
            torch.zeros_like(self.target_mean),
            self.cross + self.count * torch.outer(self.mean, self.target_mean),
            self.target_scatter + self.count * self.target_mean.square(),
            self.class_counts,
            "zero",
        )

    def _check_fits(self, other: "HeadStatistics") -> None:
        def words(part: HeadStatistics) -> str:
            kind = "real targets" if part.class_counts is None else "class ids"
            features, outputs = part.cross.shape
            return f"{features} features, {outputs} outputs, {kind}, centre {part.centre}"

        if words(self) != words(other):
            hint = "Statistics add up when they come from the same classifier and the same kind of targets."
            raise PoolError("HeadStatistics", f"another part with {words(self)}", words(other), hint)
