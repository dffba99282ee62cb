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


def from_stationary(maps: Tensor) -> Tensor:
    """``(C,)``: the size from the spatial correlation of ``maps (N, C, *S)``, each centred by the mean over all maps.

    ``Var(z) = s^2 / N sum_u prod_i (1 - |u_i| / S_i) rho(u)``, the covariance at lag ``u`` averaged over all pairs of
    positions that far apart. By the Fourier transform of the padded maps, so no ``N x N`` matrix is made.
    """
    size = maps.shape[2:]
    count = int(torch.tensor(size).prod())
    maps = maps.double() - maps.double().mean(0, keepdim=True)
    axes = tuple(range(1, maps.ndim - 1))
    padded = [2 * side for side in size]
    # One map at a time: padded to twice each side, all of them would take many times their own memory.
    spectrum = maps.new_zeros(())
    for one in maps:
        spectrum = spectrum + torch.fft.fftn(one, s=padded, dim=axes).abs().square() / len(maps)
    sums = torch.fft.ifftn(spectrum, dim=axes).real  # over pairs at each lag
    variance = maps.square().flatten(2).mean((0, 2))
    found: Tensor = count**2 * variance / sums.flatten(1).sum(1)
    return found


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
