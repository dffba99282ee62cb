"""The pools once more, as float64 loops over positions that share no code with the library.

``slow(pool, x, measure)`` takes one sample as numpy arrays ``x (C, *S)`` and ``measure (*S)`` (0 = absent), for pools
of clusters an assignment ``(*S)`` or ``(G, *S)`` too. It returns value ``(R, C, *kept)``, weights ``(R, C, *S)`` and
remainder ``(R, C, *kept)``.
"""

import importlib
import itertools
import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import tests.pools
from globalpool import pools

Array = NDArray[np.float64]
Column = list[tuple[tuple[int, ...], float, float]]  # (cell, measure, feature) of the present positions of a channel


def number(value: object, channel: int = 0) -> float:
    if isinstance(value, pools.Learned):
        flat = value.log.detach().double().exp().flatten().tolist()
        return float(flat[channel if len(flat) > 1 else 0])
    return float(value)  # type: ignore[arg-type]


def slow(pool: pools.Pool, x: Array, measure: Array, assignment: Array | None = None) -> tuple[Array, Array, Array]:
    axes = measure.ndim
    dims = None if pool.dim is None else {entry - 2 if entry >= 0 else axes + entry for entry in pool.dim}
    kept = [] if dims is None else [axis for axis in range(axes) if axis not in dims]
    kept_shape = tuple(measure.shape[axis] for axis in kept)
    value = np.zeros((pool.regions, x.shape[0], *kept_shape))
    remainder = np.zeros_like(value)
    weights = np.zeros((pool.regions, *x.shape))
    for place in itertools.product(*map(range, kept_shape)):
        inside = [
            cell
            for cell in itertools.product(*map(range, measure.shape))
            if tuple(cell[axis] for axis in kept) == place and measure[cell] > 0
        ]
        if not inside:
            continue
        for region in range(pool.regions):
            for channel in range(x.shape[0]):
                column = [(cell, float(measure[cell]), float(x[(channel, *cell)])) for cell in inside]
                shares, rest = RULES[type(pool)](pool, column, Sample(x, measure.shape, assignment), region, channel)
                for (cell, _, _), share in zip(column, shares, strict=True):
                    weights[(region, channel, *cell)] = share
                remainder[(region, channel, *place)] = rest
                total = sum(share * feature for share, (_, _, feature) in zip(shares, column, strict=True))
                value[(region, channel, *place)] = total + rest
    return value, weights, remainder


@dataclass(frozen=True)
class Sample:
    """What a rule may look at: features ``(C, *S)``, the extent ``S``, and the cluster or the shares of each cell."""

    x: Array
    shape: tuple[int, ...]
    assignment: Array | None = None


Rule = Callable[[Any, Column, Sample, int, int], tuple[list[float], float]]
RULES: dict[type[pools.Pool], Rule] = {}


def rule(pool: type[pools.Pool]) -> Callable[[Rule], Rule]:
    """Register the slow twin of a pool: weights of a column for region r and channel c, and the remainder."""

    def register(function: Rule) -> Rule:
        RULES[pool] = function
        return function

    return register


def load_rules() -> None:
    """The twins of newer pools stand in the test files of those pools."""
    for module in pkgutil.iter_modules(tests.pools.__path__):
        if module.name.startswith("test_"):
            importlib.import_module(f"tests.pools.{module.name}")


@rule(pools.Mean)
def mean(pool: pools.Pool, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    total = sum(m for _, m, _ in column)
    return [m / total for _, m, _ in column], 0.0


@rule(pools.Sum)
def sum_(pool: pools.Pool, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    return [m for _, m, _ in column], 0.0


@rule(pools.ScaledSum)
def scaled(pool: pools.Pool, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    assert isinstance(pool, pools.ScaledSum)
    factor = sum(m for _, m, _ in column) ** -float(torch.as_tensor(pool.gamma).detach())
    return [m * factor for _, m, _ in column], 0.0


@rule(pools.Max)
def maximum(pool: pools.Pool, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    top = max(f for _, _, f in column)
    ties = sum(f == top for _, _, f in column)
    return [(f == top) / ties for _, _, f in column], 0.0


@rule(pools.GeM)
def gem(pool: pools.Pool, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    assert isinstance(pool, pools.GeM)
    p, total = number(pool.p, c), sum(m for _, m, _ in column)
    y = (sum(m * max(f, pool.eps) ** p for _, m, f in column) / total) ** (1 / p)
    shares = [m / total * f ** (p - 1) * y ** (1 - p) if f >= pool.eps else 0.0 for _, m, f in column]
    return shares, sum(m / total * pool.eps**p * y ** (1 - p) for _, m, f in column if f < pool.eps)


@rule(pools.LogMeanExp)
def log_mean_exp(pool: pools.Pool, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    assert isinstance(pool, pools.LogMeanExp)
    rate, total = number(pool.r, c), sum(m for _, m, _ in column)
    partition = sum(m * math.exp(rate * f) for _, m, f in column)
    shares = [m * math.exp(rate * f) / partition for _, m, f in column]
    divergence = sum(a * math.log(a / (m / total)) for a, (_, m, _) in zip(shares, column, strict=True))
    return shares, -divergence / rate


@rule(pools.Grid)
def grid(pool: pools.Pool, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    assert isinstance(pool, pools.Grid)
    bins = list(itertools.product(*map(range, pool.bins)))[r]
    amounts = []
    for cell, m, _ in column:
        share = 1.0
        for axis, index in enumerate(cell):
            side, count, k = sample.shape[axis], pool.bins[axis], bins[axis]
            if pool.partition == "torch":
                share *= math.floor(k * side / count) <= index < math.ceil((k + 1) * side / count)
            else:
                share *= max(0.0, min(index + 1, (k + 1) * side / count) - max(index, k * side / count))
        amounts.append(share * m)
    total = sum(amounts)
    return [amount / total if total > 0 else 0.0 for amount in amounts], 0.0


@rule(pools.Attention)
def attention(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    scores = [score(pool.content, pool.position, cell, sample, r) for cell, _, _ in column]
    return softmax(scores, column, number(pool.temperature)), 0.0


def softmax(scores: list[float], column: Column, temperature: float) -> list[float]:
    top = max(scores)
    exponentials = [m * math.exp((score - top) / temperature) for score, (_, m, _) in zip(scores, column, strict=True)]
    return [e / sum(exponentials) for e in exponentials]


def score(content: Any, position: Any, cell: tuple[int, ...], sample: Sample, r: int) -> float:
    """Content and position of one cell for head r."""
    total = 0.0
    if content is not None:
        total += linear(content, vector(sample.x, cell))[r]
    if position is not None:
        table = position.table.detach().double().numpy()[..., r]
        total += interpolate(table, [(i + 0.5) / side for i, side in zip(cell, sample.shape, strict=True)])
    return total


def vector(array: Array, cell: tuple[int, ...]) -> list[float]:
    """``array (C, *S)`` at one cell."""
    return [float(array[(k, *cell)]) for k in range(len(array))]


def linear(layer: Any, values: list[float]) -> list[float]:
    rows = layer.weight.detach().double().tolist()
    biases = [0.0] * len(rows) if layer.bias is None else layer.bias.detach().double().tolist()
    return [bias + sum(a * b for a, b in zip(row, values, strict=True)) for row, bias in zip(rows, biases, strict=True)]


def interpolate(table: Array, place: list[float]) -> float:
    """One axis after the other: blend the two neighbouring slices."""
    if table.ndim == 0:
        return float(table)
    centre = min(max(place[0] * len(table) - 0.5, 0.0), len(table) - 1.0)
    low = math.floor(centre)
    high = min(low + 1, len(table) - 1)
    below, above = interpolate(table[low], place[1:]), interpolate(table[high], place[1:])
    return below + (centre - low) * (above - below)
