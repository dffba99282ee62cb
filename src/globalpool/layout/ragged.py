"""Ragged batches: the positions of all samples one after the other, features ``(T, C)``."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from globalpool import kernels
from globalpool.errors import LayoutError
from globalpool.layout.base import Axis, Layout, product
from globalpool.layout.once import Bare


@dataclass(frozen=True, eq=False)
class Ragged(Layout):
    """Rows ``[ptr[n], ptr[n + 1])`` belong to sample ``n``; ``index (T,)`` is the sample of each row.

    ``shapes (N, D)`` makes each sample a small row-major grid, ``pos (T, D)`` a cloud of points. ``segment (T,)``
    numbers what is summed together: the samples, or (sample, kept position) when ``kept`` axes stay. Both are made
    from ``ptr`` when they are asked for, unless they are given.
    """

    samples: int
    rows: int
    ptr: Tensor
    dtype: torch.dtype
    device: torch.device
    given_index: Tensor | None = None
    given_segment: Tensor | None = None
    kept: tuple[int, ...] = ()
    kept_lengths: tuple[int, ...] = ()
    measure: Tensor | None = None
    shapes: Tensor | None = None
    pos: Tensor | None = None
    assignment: Tensor | None = None

    @property
    def index(self) -> Tensor:
        """The sample of each row, ``(T,)``."""
        if self.given_index is None:
            index = kernels.segments(self.ptr, self.rows)
            object.__setattr__(self, "given_index", index)  # two threads would write the same
            return index
        return self.given_index

    @property
    def segment(self) -> Tensor:
        """What each row is summed into, ``(T,)``."""
        return self.index if self.given_segment is None else self.given_segment

    @property
    def kept_shape(self) -> tuple[int, ...]:
        return self.kept_lengths

    @property
    def _segments(self) -> int:
        return self.samples * product(self.kept_lengths)

    def _pooled(self, rows: Tensor) -> Tensor:
        """``(N * J, *mid)`` -> ``(N, *mid, *kept)``."""
        if not self.kept:
            return rows
        rows = rows.reshape(self.samples, *self.kept_lengths, *rows.shape[1:])
        return rows.movedim(list(range(1, 1 + len(self.kept))), list(range(-len(self.kept), 0)))

    def sum(self, values: Tensor) -> Tensor:
        return self._pooled(kernels.segment_sum(values, self.segment, self._segments))

    def max(self, values: Tensor) -> Tensor:
        values = self.present(values.detach(), float("-inf"))
        return self._pooled(kernels.segment_max(values, self.segment, self._segments))

    def threshold(self, values: Tensor, amount: int) -> Tensor:
        values = self.present(values.detach(), float("-inf"))
        return self._pooled(kernels.segment_threshold(values, self.measure, self.segment, self._segments, amount))

    def spread(self, pooled: Tensor) -> Tensor:
        if self.kept:
            ends, fronts = list(range(-len(self.kept), 0)), list(range(1, 1 + len(self.kept)))
            pooled = pooled.movedim(ends, fronts).flatten(0, len(self.kept))
        return pooled.index_select(0, self.segment)

    def total(self) -> Tensor:
        if self.measure is None and not self.kept:
            return self.ptr.diff().to(self.dtype)
        return self.sum(self.ones()[:, 0, 0] if self.measure is None else self.measure)

    def bare(self, features: Tensor) -> Bare | None:
        if self.kept or features.ndim != 2:
            return None
        return Bare(features, self.ptr, None if self.measure is None else self.measure.unsqueeze(1))

    def ones(self) -> Tensor:
        one = torch.ones((), dtype=self.dtype, device=self.device)
        return one.expand(self.rows, 1, 1)

    def cells(self, where: str) -> tuple[Tensor, Tensor]:
        """Grid coordinate of each row and its sample's shape, both ``(T, D)``; needs ``shapes``."""
        if self.shapes is None:
            raise LayoutError(
                where,
                "a ragged batch that carries the geometry of its samples",
                "rows without `shapes`" + ("" if self.pos is None else " (`pos` are points, not cells)"),
                "Pass shapes=(N, D): each sample's grid, its rows in row-major order.",
            )
        shape = self.shapes.index_select(0, self.index)
        local = torch.arange(self.rows, device=self.device) - self.ptr.index_select(0, self.index)
        below = torch.ones_like(local)
        coordinates = []
        for axis in reversed(range(shape.shape[1])):
            coordinates.append((local // below) % shape[:, axis])
            below = below * shape[:, axis]
        return torch.stack(coordinates[::-1], 1), shape

    def axes(self, where: str) -> list[Axis]:
        if self.pos is not None:
            return self._point_axes(self.pos)
        cell, shape = self.cells(where)
        reduced = [axis for axis in range(shape.shape[1]) if axis not in self.kept]
        return [Axis(cell[:, axis], cell[:, axis] + 1, shape[:, axis]) for axis in reduced]

    def _point_axes(self, pos: Tensor) -> list[Axis]:
        """Points relative to their sample's bounding box; the middle of an axis the sample does not extend along.

        Differences are taken in the dtype of ``pos``: time stamps and map coordinates have no digits to lose.
        """
        pos = self.present(pos if pos.is_floating_point() else pos.double(), 0)
        high, low = self.spread(self.max(pos)), -self.spread(self.max(-pos))
        flat = high <= low
        place = torch.where(flat, 0.5, (pos - low) / torch.where(flat, 1, high - low)).to(self.dtype)
        one = torch.ones_like(place)
        return [Axis(place[:, axis], place[:, axis], one[:, axis], points=True) for axis in range(pos.shape[1])]

    def of_sample(self, facts: Tensor) -> Tensor:
        return facts.index_select(0, self.index)

    def from_last(self, values: Tensor) -> Tensor:
        return values

    def to_last(self, values: Tensor) -> Tensor:
        return values

    def to_rows(self, values: Tensor) -> Tensor:
        return values

    def from_rows(self, rows: Tensor) -> Tensor:
        return rows

    def row_samples(self) -> Tensor:
        return self.index

    def with_measure(self, measure: Tensor | None) -> "Ragged":
        return replace(self, measure=measure)

    def weighted_sum(self, features: Tensor, weights: Tensor) -> Tensor:
        pooled = self.weighted_sum_once(features, weights)
        if pooled is not None:
            return pooled
        return self.sum(weights * features.to(self.dtype).unsqueeze(1))

    def softmax_once(self, scores: Tensor, temperature: Tensor | float) -> Tensor | None:
        given = [entry for entry in (self.measure, temperature) if isinstance(entry, Tensor)]
        if self.kept or kernels.differentiating(*given) or not kernels.pays("scores", scores, *given):
            return None
        columns = scores.to(self.dtype).flatten(1)
        rate = 1 / torch.as_tensor(temperature, dtype=torch.float64).flatten()
        weights: Tensor = kernels.softmax(columns, self.ptr, self.measure, rate.expand(columns.shape[1]))
        return weights.reshape(scores.shape)

    def contract(self, features: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        features, weights = features.to(rows.dtype), weights.to(rows.dtype)
        if rows.shape[0] == 1 and not self.kept:
            if weights.shape[2] == 1:
                return torch.einsum(
                    "tkr,tr->tk", torch.einsum("krc,tc->tkr", rows[0, ..., 0], features), weights[:, :, 0]
                )
            return torch.einsum("krc,trc->tk", rows[0, ..., 0], weights * features.unsqueeze(1))
        rows = rows.expand(self.samples, *rows.shape[1:]).movedim(-1, 1).flatten(0, 1)  # (N * J, K, R, C)
        weighted = weights * features.unsqueeze(1)
        # One class after the other: a row of the tail for every position and class at once would be (T, K, R, C).
        maps = [(rows[:, k].index_select(0, self.segment) * weighted).sum((1, 2)) for k in range(rows.shape[1])]
        return torch.stack(maps, 1)

    def sum_samples(self, values: Tensor) -> Tensor:
        return kernels.segment_sum(values, self.index, self.samples)
