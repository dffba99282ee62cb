"""How many independent positions an average is worth.

``n_eff = s^2 / Var(z)`` for ``z = sum_p a_p x_p`` of values with variance ``s^2`` and correlation ``R``: it is
``(sum a)^2 / (a' R a)``, which is ``1 / sum a^2`` for independent values and weights that sum to one and
``N^2 / (1' R 1)`` for the mean. Other definitions exist (generalised least squares: ``1' R^-1 1``) and differ.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def from_weights(weights: Tensor) -> Tensor:
    """``(sum a)^2 / sum a^2`` over the last axis: the size for independent positions."""
    return weights.sum(-1).square() / weights.square().sum(-1)


def from_correlation(correlation: Tensor, weights: Tensor | None = None) -> Tensor:
    """``(sum a)^2 / (a' R a)`` for ``correlation (..., N, N)``; ``weights (N,)``: None is the mean."""
    size = correlation.shape[-1]
    a = correlation.new_ones(size) if weights is None else weights.to(correlation)
    return a.sum().square() / torch.einsum("p,...pq,q->...", a, correlation, a)


def autoregressive(size: Sequence[int], phi: float) -> Tensor:
    """``(N, N)`` float64: correlation ``phi^(|i - i'| + |j - j'| + ...)`` of a grid, row-major."""
    axes = [torch.arange(side, dtype=torch.float64) for side in size]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(size))
    lags: Tensor = (places[:, None] - places[None]).abs().sum(2)
    return torch.full_like(lags, phi).pow(lags)


def neighbours(maps: Tensor) -> Tensor:
    """``(D, C)`` float64: correlation of next neighbours along each of the D axes, over ``maps (N, C, *S)``.

    Each position is centred by its mean over all maps. NaN for channels that do not vary; 0 along an axis of one.
    """
    maps = maps.double() - maps.double().mean(0, keepdim=True)
    found = []
    for axis in range(2, maps.ndim):
        length = maps.shape[axis] - 1
        first, second = maps.narrow(axis, 0, length), maps.narrow(axis, 1, length)
        product, left, right = (_sums(first, second), _sums(first, first), _sums(second, second))
        found.append(product / (left * right).sqrt() if length else torch.zeros_like(product))
    return torch.stack(found)


def _sums(first: Tensor, second: Tensor) -> Tensor:
    """``(C,)``: of products of ``(N, C, *S)``."""
    return (first * second).transpose(0, 1).flatten(1).sum(1)


def from_neighbours(maps: Tensor) -> Tensor:
    """``(C,)``: the size of a mean told from next neighbours alone, as if correlation were phi to the distance.

    ``prod_i S_i / (1 + 2 sum_k (1 - k / S_i) phi_i^k)``; the asymptotic formula is absurd on small maps. NaN where
    neighbours do not vary.
    """
    size = torch.ones(maps.shape[1], dtype=torch.float64, device=maps.device)
    for side, phi in zip(maps.shape[2:], neighbours(maps), strict=True):
        lags = torch.arange(1, side, dtype=torch.float64, device=maps.device)
        size = size * side / (1 + 2 * ((1 - lags / side) * phi[:, None] ** lags).sum(1))
    return size


def measured(maps: Tensor, vectors: Tensor) -> Tensor:
    """``(C,)``: variance of a position, averaged over positions, over that of the pooled value, between maps.

    ``maps (N, C, *S)``, ``vectors (N, C)`` of the same maps by weights that sum to one.
    """
    return maps.double().var(0).flatten(1).mean(1) / vectors.double().var(0)


def shuffled(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Maps each of whose positions comes from another map: the same values there, no correlation between positions."""
    flat = maps.flatten(2)
    order = torch.rand(flat.shape[0], flat.shape[2], generator=generator).argsort(0)
    return flat.gather(0, order[:, None].expand_as(flat).to(flat.device)).reshape(maps.shape)
