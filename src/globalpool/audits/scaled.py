"""Samples at another size, and what a change of size alone does to a pool."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from globalpool.audits.opened import Opened
from globalpool.audits.samples import AuditData
from globalpool.data import Picture, prepare
from globalpool.errors import PoolError
from globalpool.exchange import factors
from globalpool.training.resize import resized, shape_of


def at_factor(data: AuditData, number: int, factor: float) -> Tensor:
    """Sample ``number`` with its sides times ``factor``: made anew of its picture, where there is one."""
    x = data.tensors()[number]
    if factor == 1:
        return x
    if data.pictures and data.spec is not None and x.ndim == 4:
        picture = Picture(Path(data.ids[number]), data.pictures[number])
        height, width = (max(1, round(side * factor)) for side in x.shape[2:])
        return prepare(picture, data.spec, (height, width)).to(x)
    side = float(torch.tensor(x.shape[2:], dtype=torch.float64).log().mean().exp())
    assert shape_of(x.shape[2:], round(side)), "at least one axis"
    return resized(x, max(1, round(side * factor)))


@dataclass(frozen=True, eq=False)
class AtSize:
    """One sample at one size, its features reduced to what the head makes of them.

    ``vectors (1, F)``, ``logits (1, K)``; ``rescaled``: logits with the pool's count factor undone, as by
    ``at_resolution``; ``growth (R,)``: that factor for each region, ``(N / N_before)^(1 - gamma)``; ``mass (R,)``: sum
    of the pool's weights, which it predicts the growth of.
    """

    vectors: Tensor
    logits: Tensor
    rescaled: Tensor
    growth: Tensor
    mass: Tensor
    positions: int


def look(opened: Opened, before: tuple[int, ...]) -> AtSize:
    """What a batch of one gives; ``before``: lengths of the feature map its tail was trained at."""
    pool, size = opened.pool, tuple(opened.features.shape[2:])
    growth = growth_of(opened, before)
    vectors = opened.vectors()
    logits = opened.tell(vectors).double()
    rescaled = logits if bool((growth == 1).all()) else opened.tell(times(vectors, 1 / growth)).double()
    weights = pool.decompose(opened.features).weights.double()
    mass = weights.flatten(3).sum(3).mean((0, 2)) if pool.dim is None else weights.new_full((pool.regions,), torch.nan)
    return AtSize(vectors, logits, rescaled, growth, mass, int(torch.tensor(size).prod()))


def growth_of(opened: Opened, before: tuple[int, ...]) -> Tensor:
    """``(R,)`` float64: by how much each region's value grows with the count of positions alone."""
    try:
        shrunk = factors("resolution", opened.pool, before, tuple(opened.features.shape[2:]))
    except PoolError:  # a sum inside a nested pool: no factor of a region undoes it
        shrunk = [1.0] * opened.pool.regions
    return 1 / torch.tensor(shrunk, dtype=torch.float64)


def times(vectors: Tensor, factor: Tensor) -> Tensor:
    """``vectors (N, R * width)`` with each region times its factor."""
    regions = vectors.unflatten(1, (len(factor), -1))
    scaled: Tensor = regions * factor.to(regions)[None, :, None]
    return scaled.flatten(1)
