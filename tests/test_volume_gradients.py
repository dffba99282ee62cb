"""The factor 1 / (D H W) of a mean over a volume: what it does to gradients, and what helps.

Theory: dL/dF is g / DHW at every position; its norm falls as DHW^-1/2; the gradient of the trunk's weights, which sums
over the same positions, does not fall at all.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import globalpool as gp

SIDES = (4, 8, 16, 32)


@pytest.mark.parametrize("shape", [(4, 4, 4), (3, 8, 5), (1, 16, 2), (7, 6, 9)])
def test_every_position_gets_the_gradient_over_the_number_of_positions(shape: tuple[int, int, int]) -> None:
    x = torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=True)
    given = torch.randn(2, 3, dtype=torch.float64)
    gp.Mean()(x).backward(given)
    assert x.grad is not None
    for sample, channel, i, j, k in np.ndindex(*x.shape):
        expected = float(given[sample, channel]) / (shape[0] * shape[1] * shape[2])
        assert float(x.grad[sample, channel, i, j, k]) == pytest.approx(expected, rel=1e-14)


def gradients(pool: Callable[[], gp.Pool], side: int, seed: int) -> tuple[float, float, float]:
    """Largest ``|dF|``, its norm, and the norm of the gradient of a convolution's weights, each over that of g."""
    torch.manual_seed(seed)
    convolution, given = nn.Conv3d(4, 8, 3, padding=1), torch.randn(1, 8)  # before what depends on the side
    x = torch.randn(1, 4, side, side, side).relu()
    features = convolution(x).relu()
    features.retain_grad()
    pool()(features).backward(given)
    assert features.grad is not None
    assert convolution.weight.grad is not None
    scale = float(given.norm())
    largest, norm, weights = features.grad.abs().max(), features.grad.norm(), convolution.weight.grad.norm()
    return float(largest) / scale, float(norm) / scale, float(weights) / scale


def slopes(pool: Callable[[], gp.Pool], seeds: int = 5) -> np.ndarray:
    """Of the logarithms, over that of the number of positions, the same draws of g at every side."""
    counts = np.log([side**3 for side in SIDES])
    found = np.array([[gradients(pool, side, seed) for side in SIDES] for seed in range(seeds)])
    result: np.ndarray = np.polyfit(counts, np.log(found).mean(0), 1)[0]
    return result


def test_slopes_of_the_mean_are_minus_one_minus_a_half_and_zero() -> None:
    largest, norm, weights = slopes(gp.Mean)
    print(f"{largest:.4f} {norm:.4f} {weights:.4f}")
    assert largest == pytest.approx(-1, abs=0.02)
    assert norm == pytest.approx(-0.5, abs=0.02)
    assert weights == pytest.approx(0, abs=0.1)


def test_slopes_of_the_half_sum_move_the_weights_with_it() -> None:
    """S_1/2 takes half of the factor off the positions, and puts half a power on the weights."""
    largest, norm, weights = slopes(lambda: gp.ScaledSum(0.5))
    assert largest == pytest.approx(-0.5, abs=0.02)
    assert norm == pytest.approx(0, abs=0.02)
    assert weights == pytest.approx(0.5, abs=0.1)


def test_the_maximum_does_not_share_its_gradient() -> None:
    largest, norm, _ = slopes(gp.Max)
    assert largest == pytest.approx(0, abs=0.02)
    assert norm == pytest.approx(0, abs=0.02)


def half_gradient(side: int, given: float, scale: float, pool: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    x = torch.ones(1, 1, side, side, side, dtype=torch.float16, requires_grad=True)
    loss = given * (gp.Mean() if pool is None else pool)(x).float().sum()
    (scale * loss).backward()
    assert x.grad is not None
    return x.grad


def test_half_precision_loses_every_gradient_and_scaling_the_loss_brings_them_back() -> None:
    """1e-3 / 64^3 = 3.8e-9 lies below half of the smallest half, 2^-25 = 3e-8."""
    lost = half_gradient(64, 1e-3, 1.0)
    assert float((lost == 0).float().mean()) == 1.0
    scale = 2.0**16
    assert scale >= 64**3 * 2**-14 / 1e-3  # what keeps it a normal number: theory 13
    kept = half_gradient(64, 1e-3, scale)
    assert float((kept == 0).float().mean()) == 0.0
    assert float(kept.double().div(scale).mean()) == pytest.approx(1e-3 / 64**3, rel=1e-3)


def test_the_first_sizes_at_which_half_precision_fails() -> None:
    assert float(half_gradient(32, 1e-3, 1.0).max()) == pytest.approx(2**-24)  # 95 % above 1e-3 / 32^3
    assert float(half_gradient(48, 1e-3, 1.0).max()) == 0


def test_pools_one_after_the_other_share_out_as_one_does() -> None:
    """Hierarchical averaging is no remedy: factors multiply to the same 1 / DHW."""
    x = torch.randn(2, 3, 16, 8, 32, dtype=torch.float64, requires_grad=True)
    given = torch.randn(2, 3, dtype=torch.float64)
    stages: Tensor = x
    for _ in range(3):
        stages = nn.functional.avg_pool3d(stages, 2)
    gp.Mean()(stages).backward(given)
    assert x.grad is not None
    hierarchical = x.grad.clone()
    x.grad = None
    gp.Mean()(x).backward(given)
    assert isinstance(x.grad, Tensor)
    assert torch.allclose(hierarchical, x.grad, rtol=1e-7, atol=0)
    assert not half_gradient(64, 1e-3, 1.0, lambda x: gp.Mean()(cells(x))).any()


def cells(x: Tensor) -> Tensor:
    """Means of 4 x 4 x 4 positions."""
    found: Tensor = x.unflatten(2, (-1, 4)).unflatten(4, (-1, 4)).unflatten(6, (-1, 4)).mean((3, 5, 7))
    return found


def test_a_mean_of_ones_in_half_precision_is_one() -> None:
    assert float(gp.Mean()(torch.ones(1, 1, 64, 64, 64, dtype=torch.float16))) == 1.0


@pytest.mark.parametrize("factor", [1.0, 32.0**3])
def test_adam_does_not_see_a_gradient_multiplied_by_the_number_of_positions(factor: float) -> None:
    """Adam divides the factor out again up to its epsilon; plain gradient descent takes it as its learning rate."""
    steps = {}
    for name in ("adam", "sgd"):
        for times in (1.0, factor):
            weight = nn.Parameter(torch.ones(3, dtype=torch.float64))
            optimiser = (
                torch.optim.Adam([weight], lr=0.1, eps=1e-8) if name == "adam" else torch.optim.SGD([weight], 0.1)
            )
            for number in range(5):
                weight.grad = times * torch.tensor([1.0, -0.5, 0.25], dtype=torch.float64) * (1 + number)
                optimiser.step()
            steps[name, times] = (weight - 1).detach()
    assert torch.allclose(steps["adam", factor], steps["adam", 1.0], rtol=1e-6)
    assert torch.allclose(steps["sgd", factor], factor * steps["sgd", 1.0])
