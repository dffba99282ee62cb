"""Dense batches: features ``(N, C, *S)`` with one to three spatial axes, full, masked or measured."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from globalpool import kernels
from globalpool.layout.base import Axis, Layout, product
from globalpool.layout.once import Bare


@dataclass(frozen=True, eq=False)
class Dense(Layout):
    """Positions on a common canvas ``spatial``, of which the axes ``reduced`` are pooled away.

    ``measure (N, *S)`` gives the size of each position (0 = absent); ``sizes (N, D)`` each sample's own extent from
    the canvas origin. Without ``sizes`` the extent is the bounding box of the present positions.
    """

    samples: int
    spatial: tuple[int, ...]
    reduced: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    measure: Tensor | None = None
    sizes: Tensor | None = None
    assignment: Tensor | None = None

    @property
    def kept(self) -> tuple[int, ...]:
        """Indices into ``spatial`` of the axes that stay."""
        return tuple(axis for axis in range(len(self.spatial)) if axis not in self.reduced)

    @property
    def kept_shape(self) -> tuple[int, ...]:
        return tuple(self.spatial[axis] for axis in self.kept)

    def _dims(self) -> tuple[int, ...]:
        return tuple(axis - len(self.spatial) for axis in self.reduced)

    def sum(self, values: Tensor) -> Tensor:
        return kernels.dense_sum(values, self._dims())

    def max(self, values: Tensor) -> Tensor:
        return kernels.dense_max(self.present(values.detach(), float("-inf")), self._dims())

    def threshold(self, values: Tensor, amount: int) -> Tensor:
        columns = self._split(self.present(values.detach(), float("-inf")))
        measure = None if self.measure is None else self._split(self.measure.unsqueeze(1))
        lowest = kernels.dense_threshold(columns, measure, amount)
        return lowest.reshape(*lowest.shape[:2], *self.kept_shape)

    def spread(self, pooled: Tensor) -> Tensor:
        first = pooled.ndim - len(self.kept)
        for axis in self.reduced:
            pooled = pooled.unsqueeze(first + axis)
        return pooled

    def total(self) -> Tensor:
        if self.measure is not None:
            return self.sum(self.measure)
        count = product(self.spatial[axis] for axis in self.reduced)
        total = torch.ones((), dtype=self.dtype, device=self.device) * count
        return total.expand(self.samples, *self.kept_shape)

    def bare(self, features: Tensor) -> Bare | None:
        if self.kept or features.ndim != 2 + len(self.spatial) or not _one_line(features):
            return None
        measure = None if self.measure is None else self.measure.flatten(1).unsqueeze(1)
        return Bare(features.flatten(2), None, measure)

    def ones(self) -> Tensor:
        one = torch.ones((), dtype=self.dtype, device=self.device)
        return one.expand(self.samples, 1, 1, *self.spatial)

    def extent(self) -> tuple[Tensor, Tensor]:
        """First index and length ``(N or 1, D)`` of each sample's own box on the canvas; length 0 without positions."""
        if self.sizes is not None:
            return torch.zeros_like(self.sizes), self.sizes
        full = torch.stack([torch.ones(1, device=self.device, dtype=torch.long) * side for side in self.spatial], 1)
        if self.measure is None or 0 in self.spatial:
            return torch.zeros_like(full), full
        present, starts, lengths = self.measure > 0, [], []
        for axis, side in enumerate(self.spatial):
            index = torch.arange(side, device=self.device)
            others = [1 + other for other in range(len(self.spatial)) if other != axis]
            line = present.any(others) if others else present
            stop = torch.where(line, index + 1, 0).amax(1)
            start = torch.where(line, index, side).amin(1).minimum(stop)
            starts.append(start)
            lengths.append(stop - start)
        return torch.stack(starts, 1), torch.stack(lengths, 1)

    def axes(self, where: str) -> list[Axis]:
        starts, lengths = self.extent()
        axes = []
        for axis in self.reduced:
            shape = [-1, *(1,) * len(self.spatial)]
            along = [1, *(1,) * len(self.spatial)]
            along[1 + axis] = -1
            index = torch.arange(self.spatial[axis], device=self.device).reshape(along)
            start = index - starts[:, axis].reshape(shape)
            axes.append(Axis(start, start + 1, lengths[:, axis].clamp(min=1).reshape(shape)))
        return axes

    def of_sample(self, facts: Tensor) -> Tensor:
        return facts.reshape(-1, *(1,) * len(self.spatial), facts.shape[1])

    def from_last(self, values: Tensor) -> Tensor:
        return values.movedim(-1, 1)

    def to_last(self, values: Tensor) -> Tensor:
        return values.movedim(1, -1)

    def to_rows(self, values: Tensor) -> Tensor:
        axes = range(values.ndim - len(self.spatial), values.ndim)
        values = values.movedim(list(axes), list(range(1, 1 + len(self.spatial))))
        return values.flatten(0, len(self.spatial))

    def from_rows(self, rows: Tensor) -> Tensor:
        values = rows.reshape(self.samples, *self.spatial, *rows.shape[1:])
        return values.movedim(list(range(1, 1 + len(self.spatial))), list(range(-len(self.spatial), 0)))

    def row_samples(self) -> Tensor:
        count = product(self.spatial)
        index = torch.arange(self.samples, device=self.device)
        return index.unsqueeze(1).expand(self.samples, count).flatten()

    def with_measure(self, measure: Tensor | None) -> "Dense":
        return replace(self, measure=measure)

    def _split(self, values: Tensor) -> Tensor:
        """``(N, *mid, *S)`` -> ``(N, *mid, J, P)``: kept positions, then reduced ones."""
        first = values.ndim - len(self.spatial)
        if not self.kept:
            return values.flatten(first).unsqueeze(first)
        order = (*range(first), *(first + axis for axis in (*self.kept, *self.reduced)))
        sides = product(self.kept_shape), product(self.spatial[axis] for axis in self.reduced)
        return values.permute(order).reshape(*values.shape[:first], *sides)

    def _merge(self, values: Tensor) -> Tensor:
        """The inverse of ``_split``."""
        first = values.ndim - 2
        order = (*self.kept, *self.reduced)
        values = values.reshape(*values.shape[:first], *(self.spatial[axis] for axis in order))
        return values.permute(*range(first), *(first + order.index(axis) for axis in range(len(order))))

    def weighted_sum(self, features: Tensor, weights: Tensor) -> Tensor:
        pooled = self.weighted_sum_once(features, weights)
        if pooled is not None:
            return pooled
        features = features.to(self.dtype)
        if weights.shape[2] != 1:
            return self.sum(weights * features.unsqueeze(1))
        rows = self._split(weights)[:, :, 0].transpose(1, 2)
        columns = self._split(features).permute(0, 2, 3, 1)
        with kernels.full_precision(self.device):
            pooled = kernels.blocked_matmul(rows, columns).permute(0, 2, 3, 1)
        return pooled.reshape(*pooled.shape[:3], *self.kept_shape)

    def contract(self, features: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        x, a = self._split(features.to(rows.dtype)), self._split(weights.to(rows.dtype))
        if weights.shape[2] != 1:
            return self._merge(torch.einsum("nkrcj,nrcjp->nkjp", rows, a * x.unsqueeze(1)))
        scores = torch.einsum("nkrcj,ncjp->nkrjp", rows, x) * a[:, None, :, 0]
        return self._merge(scores.sum(2) if scores.shape[2] > 1 else scores.squeeze(2))

    def sum_samples(self, values: Tensor) -> Tensor:
        return kernels.dense_sum(values, tuple(range(-len(self.spatial), 0)))


def _one_line(features: Tensor) -> bool:
    """Whether one step leads from each position to the next, so that the spatial axes can be seen as one."""
    sides, steps = features.shape[2:], features.stride()[2:]
    pairs = zip(sides[1:], steps[:-1], steps[1:], strict=True)
    return all(before == side * step for side, before, step in pairs)
