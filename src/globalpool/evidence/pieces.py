"""Linear pieces of a held tail: each carries vectors forward (``push``) and logit rows back (``pull``).

Between pieces a sample has one value of some shape; ``push`` takes ``(N, M, *shape)``, M vectors a sample, and gives
``(N, M, *new shape)``; ``pull`` is its transpose, for rows ``(N or 1, M, *new shape)``. Constants are no part of a
piece: a step adds them once a sample.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from globalpool.layout import product

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Picked:
    """Rows that are still single outputs: ``factor (N or 1, K')`` times output number ``ids (N or 1, K')``.

    ``every``: they are all outputs, in order, times one.
    """

    ids: Tensor
    factor: Tensor
    every: bool = False

    def rows(self, shape: Shape) -> Tensor:
        """The same as a tensor ``(N or 1, K', *shape)``."""
        hot = torch.nn.functional.one_hot(self.ids, product(shape)).to(self.factor.dtype)
        return (hot * self.factor.unsqueeze(-1)).reshape(*hot.shape[:2], *shape)


class Piece(ABC):
    """A linear map from values of shape ``before`` to values of shape ``after``, without constant."""

    before: Shape
    after: Shape

    @property
    def work(self) -> int:
        """Multiply-adds for one vector; only matrices count."""
        return 0

    @abstractmethod
    def push(self, values: Tensor) -> Tensor:
        """``(N, M, *before)`` -> ``(N, M, *after)``."""

    @abstractmethod
    def pull(self, rows: Tensor) -> Tensor:
        """``(N or 1, K', *after)`` -> ``(N or 1, K', *before)``."""

    def pick(self, picked: Picked) -> Tensor | Picked:
        """``pull`` for single outputs, cheaper where no matrix need be multiplied."""
        return self.pull(picked.rows(self.after))


@dataclass(frozen=True, eq=False)
class Identity(Piece):
    """Passes on what comes."""

    before: Shape
    after: Shape

    def push(self, values: Tensor) -> Tensor:
        return values

    def pull(self, rows: Tensor) -> Tensor:
        return rows

    def pick(self, picked: Picked) -> Tensor | Picked:
        return picked


@dataclass(frozen=True, eq=False)
class Reshape(Piece):
    """The same numbers, in the same order, in another shape."""

    before: Shape
    after: Shape

    def push(self, values: Tensor) -> Tensor:
        return values.reshape(*values.shape[:2], *self.after)

    def pull(self, rows: Tensor) -> Tensor:
        return rows.reshape(*rows.shape[:2], *self.before)

    def pick(self, picked: Picked) -> Tensor | Picked:
        return picked


@dataclass(frozen=True, eq=False)
class Matrix(Piece):
    """``weight (O, I)`` on the last axis; a bias is the step's constant."""

    weight: Tensor
    before: Shape
    after: Shape

    @property
    def work(self) -> int:
        return product(self.before[:-1]) * self.weight.shape[0] * self.weight.shape[1]

    def push(self, values: Tensor) -> Tensor:
        return torch.nn.functional.linear(values, self.weight.to(values.dtype))

    def pull(self, rows: Tensor) -> Tensor:
        return rows @ self.weight.to(rows.dtype)

    def pick(self, picked: Picked) -> Tensor | Picked:
        if len(self.before) != 1:
            return super().pick(picked)
        if picked.every:
            return self.weight.to(picked.factor.dtype).unsqueeze(0)
        return self.weight.to(picked.factor.dtype)[picked.ids] * picked.factor.unsqueeze(-1)


@dataclass(frozen=True, eq=False)
class Scale(Piece):
    """Times a held ``gate``, which broadcasts over ``(N, *after)`` as in torch; ``before`` may broadcast too."""

    gate: Tensor
    before: Shape
    after: Shape

    def _gate(self, dtype: torch.dtype) -> Tensor:
        missing = 1 + len(self.after) - self.gate.ndim
        return self.gate.to(dtype).reshape(*(1,) * missing, *self.gate.shape).unsqueeze(1)

    def push(self, values: Tensor) -> Tensor:
        values = values.reshape(*values.shape[:2], *(1,) * (len(self.after) - len(self.before)), *self.before)
        return values * self._gate(values.dtype)

    def pull(self, rows: Tensor) -> Tensor:
        return sum_to(rows * self._gate(rows.dtype), self.before)

    def pick(self, picked: Picked) -> Tensor | Picked:
        if self.before != self.after or len(self.after) != 1:
            return super().pick(picked)
        gate = self._gate(picked.factor.dtype)[:, 0]
        samples = max(gate.shape[0], picked.ids.shape[0])
        ids = picked.ids.expand(samples, -1)
        return Picked(ids, picked.factor * gate.expand(samples, self.after[0]).gather(1, ids))


@dataclass(frozen=True, eq=False)
class Centre(Piece):
    """Minus the mean over the axes ``dims``, counted from the end: its own transpose."""

    dims: tuple[int, ...]
    before: Shape
    after: Shape

    def push(self, values: Tensor) -> Tensor:
        return values - values.mean(self.dims, keepdim=True)

    def pull(self, rows: Tensor) -> Tensor:
        return self.push(rows)


@dataclass(frozen=True, eq=False)
class Permute(Piece):
    """Axes of ``before`` in another ``order``."""

    order: tuple[int, ...]
    before: Shape
    after: Shape

    def push(self, values: Tensor) -> Tensor:
        return values.permute(0, 1, *(2 + axis for axis in self.order))

    def pull(self, rows: Tensor) -> Tensor:
        return rows.permute(0, 1, *(2 + self.order.index(axis) for axis in range(len(self.order))))


@dataclass(frozen=True, eq=False)
class Take(Piece):
    """``length`` entries from ``start`` along an axis of ``before``; the inverse puts them among zeros."""

    axis: int
    start: int
    length: int
    before: Shape
    after: Shape

    def push(self, values: Tensor) -> Tensor:
        return values.narrow(2 + self.axis, self.start, self.length).reshape(*values.shape[:2], *self.after)

    def pull(self, rows: Tensor) -> Tensor:
        part = (*self.before[: self.axis], self.length, *self.before[self.axis + 1 :])
        rows = rows.reshape(*rows.shape[:2], *part)
        behind = self.before[self.axis] - self.start - self.length
        pads = [length for _ in range(len(self.before) - 1 - self.axis) for length in (0, 0)]
        return torch.nn.functional.pad(rows, [*pads, self.start, behind])


@dataclass(frozen=True, eq=False)
class Place(Piece):
    """The transpose of ``Take``: puts a value into a larger one of zeros, as concatenation does."""

    axis: int
    start: int
    before: Shape
    after: Shape
    _take: Take = field(init=False, repr=False)

    def __post_init__(self) -> None:
        length = self.before[self.axis] if len(self.before) == len(self.after) else 1
        object.__setattr__(self, "_take", Take(self.axis, self.start, length, self.after, self.before))

    def push(self, values: Tensor) -> Tensor:
        return self._take.pull(values)

    def pull(self, rows: Tensor) -> Tensor:
        return self._take.push(rows)


@dataclass(frozen=True, eq=False)
class Total(Piece):
    """The sum over ``axes`` times ``factor``."""

    axes: tuple[int, ...]
    factor: float
    before: Shape
    after: Shape

    def push(self, values: Tensor) -> Tensor:
        total = values.sum([2 + axis for axis in self.axes]) * self.factor
        return total.reshape(*values.shape[:2], *self.after)

    def pull(self, rows: Tensor) -> Tensor:
        kept = [1 if axis in self.axes else side for axis, side in enumerate(self.before)]
        return (rows * self.factor).reshape(*rows.shape[:2], *kept).expand(*rows.shape[:2], *self.before)


@dataclass(frozen=True, eq=False)
class Chain(Piece):
    """Pieces one after the other."""

    pieces: Sequence[Piece]

    @property
    def before(self) -> Shape:  # type: ignore[override]
        return self.pieces[0].before

    @property
    def after(self) -> Shape:  # type: ignore[override]
        return self.pieces[-1].after

    @property
    def work(self) -> int:
        return sum(piece.work for piece in self.pieces)

    def push(self, values: Tensor) -> Tensor:
        for piece in self.pieces:
            values = piece.push(values)
        return values

    def pull(self, rows: Tensor) -> Tensor:
        for piece in reversed(self.pieces):
            rows = piece.pull(rows)
        return rows

    def pick(self, picked: Picked) -> Tensor | Picked:
        rows: Tensor | Picked = picked
        for piece in reversed(self.pieces):
            rows = piece.pick(rows) if isinstance(rows, Picked) else piece.pull(rows)
        return rows


def sum_to(values: Tensor, shape: Shape) -> Tensor:
    """``(N, M, *larger)`` summed over the axes along which ``shape`` was broadcast."""
    extra = values.ndim - 2 - len(shape)
    if extra:
        values = values.sum(tuple(range(2, 2 + extra)))
    spread = [2 + axis for axis, side in enumerate(shape) if side == 1 and values.shape[2 + axis] != 1]
    return values.sum(spread, keepdim=True) if spread else values
