"""What every layout offers: the few primitives over positions that all pools are made of.

Three kinds of tensors meet here, told apart by their axes (``mid`` is any number of axes, often channels):

- position tensors: dense ``(N, *mid, *S)``, ragged ``(T, *mid)``;
- pooled tensors: ``(N, *mid, *kept)`` in both layouts, ``kept`` being the spatial axes that are not reduced;
- per-position facts (the measure, coordinates): dense ``(N or 1, *S or 1)``, ragged ``(T,)``.

The first axis counts samples or rows and ``mid`` follows it, so code that only inserts axes at 1 and calls the
primitives serves both layouts.
"""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from globalpool.layout.check import MEASURES
from globalpool.layout.once import Once


def product(lengths: Iterable[int]) -> int:
    """``math.prod`` that torch can trace when the lengths are symbols."""
    result = 1
    for length in lengths:
        result = result * length
    return result


class LayoutArguments(TypedDict, total=False):
    """How the positions of a batch lie; the keyword arguments of every pool, head and classifier call.

    Dense features ``(N, C, *S)``: ``mask (N, *S)`` (bool, True = real, or a non-negative float measure),
    ``lengths (N,)`` for one spatial axis, ``sizes (N, D)`` for any, ``channel_dim`` (1, or -1 for channels last).
    Ragged features ``(T, C)``: ``ptr (N + 1,)``, or sorted ``batch (T,)`` with optional ``size`` = N; ``mask (T,)``;
    geometry by ``shapes (N, D)`` (each sample a row-major grid) or ``pos (T, D)``.
    ``assignment`` for pools made of clusters: the cluster of each position, numbered from 0 within its sample (integers
    ``(N, *S)`` or ``(T,)``), or how much of it each of G clusters holds (non-negative, shaped like the features with G
    in place of C).
    """

    mask: Tensor | None
    lengths: Tensor | None
    sizes: Tensor | None
    channel_dim: int
    ptr: Tensor | None
    batch: Tensor | None
    size: int | None
    shapes: Tensor | None
    pos: Tensor | None
    assignment: Tensor | None


@dataclass(frozen=True, eq=False)
class Axis:
    """Where positions lie along one reduced axis of their own sample, as per-position facts.

    A position covers ``[start, stop]`` of ``[0, length]``: a cell of a grid has ``stop == start + 1``, a point of a
    cloud ``stop == start``.
    """

    start: Tensor
    stop: Tensor
    length: Tensor
    points: bool = False


class Layout(Once):
    """Where the positions of a batch are. ``measure`` is None when every position counts one.

    ``assignment``: the cluster of each position as a per-position fact of integers, or the shares of all clusters as a
    position tensor with ``mid = (G,)``; 0 at absent positions.
    """

    samples: int
    measure: Tensor | None
    assignment: Tensor | None
    dtype: torch.dtype
    device: torch.device

    @property
    @abstractmethod
    def kept_shape(self) -> tuple[int, ...]:
        """Lengths of the spatial axes that are not reduced."""

    @abstractmethod
    def sum(self, values: Tensor) -> Tensor:
        """Position tensor -> pooled tensor: the plain sum, measure not applied."""

    @abstractmethod
    def max(self, values: Tensor) -> Tensor:
        """Position tensor -> pooled tensor: the largest value at a present position, -inf without one; detached."""

    @abstractmethod
    def threshold(self, values: Tensor, amount: int) -> Tensor:
        """Position tensor with ``mid = (C,)`` -> pooled tensor: the last value among the largest that hold ``amount``.

        Positions are taken from the largest value down until their measure reaches ``amount``; the smallest present
        value when there is less in all, -inf without any; detached.
        """

    @abstractmethod
    def spread(self, pooled: Tensor) -> Tensor:
        """Pooled tensor -> position tensor that broadcasts: every position sees its own sample's value."""

    @abstractmethod
    def total(self) -> Tensor:
        """Sum of the measure, ``(N, *kept)``: the number of positions when every one counts one."""

    @abstractmethod
    def axes(self, where: str) -> list[Axis]:
        """Geometry along each reduced axis; raises LayoutError for ``where`` when the batch carries none."""

    @abstractmethod
    def of_sample(self, facts: Tensor) -> Tensor:
        """One vector a sample ``(N, M)`` -> per-position vectors that broadcast over ``(*position, M)``."""

    @abstractmethod
    def from_last(self, values: Tensor) -> Tensor:
        """Per-position vectors ``(*position, M)`` -> position tensor with ``mid = (M,)``."""

    @abstractmethod
    def to_last(self, values: Tensor) -> Tensor:
        """Position tensor with ``mid = (M,)`` -> per-position vectors ``(*position, M)``."""

    @abstractmethod
    def to_rows(self, values: Tensor) -> Tensor:
        """Position tensor -> ``(T, *mid)``: all positions one after the other, absent ones too."""

    @abstractmethod
    def from_rows(self, rows: Tensor) -> Tensor:
        """The inverse of ``to_rows``."""

    @abstractmethod
    def row_samples(self) -> Tensor:
        """The sample of each row of ``to_rows``, ``(T,)``."""

    @abstractmethod
    def with_measure(self, measure: Tensor | None) -> "Layout":
        """The same positions with another measure, a per-position fact of the accumulation dtype."""

    @abstractmethod
    def weighted_sum(self, features: Tensor, weights: Tensor) -> Tensor:
        """Features (``mid = (C,)``) under weights (``mid = (R, C or 1)``) -> pooled ``(N, R, C, *kept)``."""

    @abstractmethod
    def contract(self, features: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        """Evidence of every position: ``sum over r, c of rows * weights * features``.

        ``rows (N or 1, K, R, C, J)`` holds the linear tail, ``J`` running over the kept positions; 1 on the first
        axis means the same rows for every sample. Returns a position tensor with ``mid = (K,)``.
        """

    @abstractmethod
    def sum_samples(self, values: Tensor) -> Tensor:
        """Position tensor -> ``(N, *mid)``: the sum over all positions of a sample, kept axes included."""

    def per_position(self, fact: Tensor, axes: int) -> Tensor:
        """A per-position fact as a position tensor with ``axes`` mid axes of length 1."""
        return fact[(slice(None), *(None,) * axes)]

    def weigh(self, values: Tensor) -> Tensor:
        """Position tensor times the measure."""
        if self.measure is None:
            return values
        return values * self.per_position(self.measure, values.ndim - self.measure.ndim)

    def weigh_shares(self, shares: Tensor) -> Tensor:
        """Shares between 0 and 1 times the measure; what is below ``MEASURES`` counts as nothing.

        Its inverse, which gradients of a mean under such a measure are made of, would leave the range of float32.
        """
        held = self.weigh(shares)
        return torch.where(held >= MEASURES[0], held, 0)

    def present(self, values: Tensor, absent: float) -> Tensor:
        """Position tensor with ``absent`` put where the measure is zero."""
        if self.measure is None:
            return values
        here = self.per_position(self.measure > 0, values.ndim - self.measure.ndim)
        return torch.where(here, values, absent)

    def divide_by_total(self, pooled: Tensor) -> Tensor:
        """Pooled tensor over the sum of the measure; an empty sample's zeros stay zeros."""
        return pooled / self.divisor(pooled.ndim - 1 - len(self.kept_shape))

    def divisor(self, axes: int) -> Tensor:
        """Sum of the measure as a pooled tensor with ``axes`` mid axes of length 1; 1 for an empty sample."""
        total = self.total()
        return self.per_position(torch.where(total > 0, total, 1), axes)

    def mean(self, values: Tensor) -> Tensor:
        """Position tensor -> pooled tensor: the mean under the measure; zero for an empty sample."""
        return self.divide_by_total(self.sum(self.weigh(values)))

    def normalize(self, amounts: Tensor) -> Tensor:
        """Non-negative position tensor scaled to sum to one over each sample; zero where that sum is zero."""
        total = self.sum(amounts)
        return amounts / self.spread(torch.where(total == 0, 1, total))

    def uniform(self) -> Tensor:
        """The weights of the mean, ``mid = (1, 1)``: each position's share of its sample's measure."""
        return self.normalize(self.weigh(self.ones()))

    def zero_if_empty(self, pooled: Tensor) -> Tensor:
        """Pooled tensor with zeros at samples without positions."""
        total = self.total()
        return torch.where(self.per_position(total <= 0, pooled.ndim - total.ndim), 0, pooled)

    def below_maximum(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """``scores - maximum`` (zero at absent positions) and the detached, pooled maximum (zero without one)."""
        scores = scores.to(self.dtype)
        maximum = self.max(scores)
        maximum = torch.where(maximum == float("-inf"), 0, maximum)
        return self.present(scores - self.spread(maximum), 0), maximum

    def softmax(self, scores: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
        """Softmax of ``scores / temperature`` over the present positions of each sample, counted by the measure.

        Position tensor in and out; zeros for an empty sample. Scores are shifted before they are divided, so that
        no temperature overflows.
        """
        weights = self.softmax_once(scores, temperature)
        if weights is not None:
            return weights
        below, _ = self.below_maximum(scores)
        return self.normalize(self.weigh(torch.exp(below / temperature)))

    @abstractmethod
    def ones(self) -> Tensor:
        """One at every position, absent ones too, as weights: ``mid = (1, 1)``."""

    def coordinates(self, where: str) -> Tensor:
        """Centre of each position relative to its own sample, ``(*position, D)`` in [0, 1], ``D`` reduced axes.

        0.5 at absent positions, which may lie outside their sample.
        """
        centres = [(axis.start + axis.stop).to(self.dtype) / (2 * axis.length) for axis in self.axes(where)]
        place = torch.stack(torch.broadcast_tensors(*centres), -1)
        return place if self.measure is None else torch.where(self.measure.unsqueeze(-1) > 0, place, 0.5)
