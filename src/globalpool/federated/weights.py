"""How much each client counts when pooled vectors of clients with different resolutions become one.

Three rules, and the one that is no average. Clients of 8, 16 and 32 positions a side with means 1, 2 and 3 give 2.0
per client, 2.714285... per position, and 1216 as the mean of their sums.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from globalpool.errors import FederatedError


def per_client(clients: int) -> Tensor:
    """Equal weights ``(K,)``: unbiased for the mean of the client population, whatever their resolutions.

    Assumes that clients are what one samples from: a large picture says no more about the population than a small one.
    """
    if clients < 1:
        raise FederatedError("per_client", "one client or more", f"{clients}")
    return torch.full((clients,), 1 / clients, dtype=torch.float64)


def per_position(positions: Sequence[float] | Tensor) -> Tensor:
    """Weights ``(K,)`` in proportion to each client's ``positions``: the mean over all positions there are.

    Assumes that all clients have the same mean and positions are independent draws from it; then it has the smallest
    variance. Otherwise the finest resolution speaks for all.
    """
    counts = _positive("per_position", "positions", positions)
    return counts / counts.sum()


def sums_of_clients(positions: Sequence[float] | Tensor) -> Tensor:
    """``N_k / K``, which does not sum to one: what averaging Sum-pooled vectors amounts to. A control, not a rule.

    The client with the most positions holds the share ``N_k / sum N`` of it: 0.76 for 32 against 16 and 8 a side.
    """
    counts = _positive("sums_of_clients", "positions", positions)
    return counts / len(counts)


def best_linear_unbiased(noise: Tensor, between: float | Tensor) -> Tensor:
    """Weights proportional to ``1 / (between + noise_k)``: of all unbiased weightings that of the smallest variance.

    ``noise``: the variance ``s_k^2 / n_k`` of each client's mean about that client's own truth, ``(K,)``, or ``(K,
    C)`` for each channel; ``between``: the variance t^2 of the truths between clients, a number or ``(C,)``. Assumes
    ``z_k = mu + client_k + error_k``, independent with these variances: equal weights where t^2 dominates, weights by
    effective count where the noise does. DerSimonian, Laird, Meta-analysis in clinical trials (1986), section 3.
    """
    spread = _not_negative("best_linear_unbiased", "noise", noise) + torch.as_tensor(between, dtype=torch.float64)
    if not bool((spread > 0).all()) or not bool(spread.isfinite().all()):
        hint = "Without any variance every weighting is exact; use per_client."
        raise FederatedError("best_linear_unbiased", "a positive total variance of every client", "0 or less", hint)
    precision = 1 / spread
    return precision / precision.sum(0)


def between_variance(means: Tensor, noise: Tensor) -> Tensor:
    """The moment estimate of t^2, ``(C,)``, from clients' ``means (K, C)`` and their ``noise (K, C)``.

    ``(Q - (K - 1)) / (sum w - sum w^2 / sum w)`` with ``w = 1 / noise`` and ``Q = sum w (z - weighted mean)^2``; zero
    where that is negative, as its authors define it. DerSimonian and Laird (1986), equation 8.
    """
    if len(means) < 2 or means.shape != noise.shape:
        got = f"means {tuple(means.shape)}, noise {tuple(noise.shape)}"
        raise FederatedError("between_variance", "means and noise (K, C) of two clients or more", got)
    noise = _not_negative("between_variance", "noise", noise)
    if not bool((noise > 0).all()):
        hint = "A channel that is constant within a client tells no noise; use per_client."
        raise FederatedError("between_variance", "positive noise", "0", hint)
    z, w = means.double(), 1 / noise
    total = w.sum(0)
    centre = (w * z).sum(0) / total
    q = (w * (z - centre).square()).sum(0)
    return ((q - (len(z) - 1)) / (total - w.square().sum(0) / total)).clamp(min=0)


def weighted(means: Tensor, weights: Tensor) -> Tensor:
    """``sum_k a_k z_k``: means ``(K, C)`` under weights ``(K,)`` or ``(K, C)``, in float64."""
    if means.ndim != 2 or weights.shape not in ((len(means),), tuple(means.shape)):
        got = f"means {tuple(means.shape)}, weights {tuple(weights.shape)}"
        raise FederatedError("weighted", "means (K, C) and weights (K,) or (K, C)", got)
    if not bool(means.isfinite().all()):
        raise FederatedError("weighted", "finite means", "NaN or Inf", "Leave that client out, or mend its data.")
    shares = weights.double() if weights.ndim == 2 else weights.double()[:, None]
    return (shares * means.double()).sum(0)


def _positive(where: str, name: str, values: Sequence[float] | Tensor) -> Tensor:
    numbers = torch.as_tensor(values, dtype=torch.float64)
    if numbers.ndim != 1 or not len(numbers) or not bool((numbers > 0).all()) or not bool(numbers.isfinite().all()):
        raise FederatedError(where, f"`{name}` as a positive number a client", f"{numbers.tolist()}")
    return numbers


def _not_negative(where: str, name: str, values: Tensor) -> Tensor:
    numbers = values.double()
    if not numbers.numel() or not bool((numbers >= 0).all()) or not bool(numbers.isfinite().all()):
        raise FederatedError(where, f"`{name}` as finite variances", "a negative number, NaN or Inf, or none at all")
    return numbers
