"""The three rules against numbers by hand and against the least-squares problem they claim to solve."""

import re

import pytest
import torch
from torch import Tensor

from globalpool.errors import FederatedError
from globalpool.federated import (
    best_linear_unbiased,
    between_variance,
    per_client,
    per_position,
    sums_of_clients,
    weighted,
)

POSITIONS = [8**2, 16**2, 32**2]
MEANS = torch.tensor([[1.0], [2.0], [3.0]])


def test_three_rules_give_three_answers() -> None:
    assert float(weighted(MEANS, per_client(3))) == pytest.approx(2.0, abs=1e-12)
    assert float(weighted(MEANS, per_position(POSITIONS))) == pytest.approx(3648 / 1344, abs=1e-12)
    assert float(weighted(MEANS, sums_of_clients(POSITIONS))) == 1216


def test_the_largest_client_has_three_quarters_of_a_sum() -> None:
    shares = sums_of_clients(POSITIONS)
    assert float(shares[-1] / shares.sum()) == pytest.approx(0.7619, abs=1e-4)
    assert float(per_client(3)[-1]) == pytest.approx(1 / 3)


def smallest_variance(covariance: Tensor) -> Tensor:
    """``min a' V a`` under ``sum a = 1``, by its Lagrange system."""
    count = len(covariance)
    system = torch.ones(count + 1, count + 1, dtype=torch.float64)
    system[:count, :count], system[count, count] = 2 * covariance, 0
    right = torch.zeros(count + 1, dtype=torch.float64)
    right[-1] = 1
    found: Tensor = torch.linalg.solve(system, right)
    return found[:count]


@pytest.mark.parametrize("between", [0.0, 0.3, 50.0])
def test_best_linear_unbiased_is_the_smallest_variance(between: float) -> None:
    noise = torch.tensor([0.7, 0.2, 1.9], dtype=torch.float64)
    expected = smallest_variance(torch.diag(noise + between))
    torch.testing.assert_close(best_linear_unbiased(noise, between), expected, rtol=1e-12, atol=0)


def test_its_limits_are_the_other_two_rules() -> None:
    noise = 1 / torch.tensor(POSITIONS, dtype=torch.float64)
    torch.testing.assert_close(best_linear_unbiased(noise, 0.0), per_position(POSITIONS), rtol=1e-12, atol=0)
    torch.testing.assert_close(best_linear_unbiased(noise, 1e9), per_client(3), rtol=1e-9, atol=0)


def test_the_variance_between_clients_by_hand_and_without_bias() -> None:
    # Q = 2, w = 1, 1: (2 - 1) / (2 - 2 / 2) = 1.
    means, noise = torch.tensor([[0.0], [2.0]]), torch.ones(2, 1)
    assert float(between_variance(means, noise)) == pytest.approx(1.0, abs=1e-12)
    assert float(between_variance(torch.zeros(2, 1), noise)) == 0
    random = torch.Generator().manual_seed(0)
    noise = torch.tensor([0.5, 1.0, 2.0, 4.0]).expand(20_000, 4).T
    draws = torch.randn(4, 20_000, generator=random) * (30.0 + noise).sqrt()
    found = between_variance(draws, noise).mean()  # each column a federation of four with t^2 = 30
    assert float(found) == pytest.approx(30.0, abs=0.6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: per_position([4, 0]),
            "per_position: expected `positions` as a positive number a client; got [4.0, 0.0].",
        ),
        (lambda: weighted(MEANS, torch.ones(2)), "got means (3, 1), weights (2,)."),
        (lambda: weighted(MEANS / 0, per_client(3)), "weighted: expected finite means; got NaN or Inf."),
        (lambda: best_linear_unbiased(torch.zeros(2), 0.0), "Without any variance every weighting is exact"),
        (lambda: best_linear_unbiased(torch.tensor([1.0, -1.0]), 2.0), "`noise` as finite variances"),
        (lambda: between_variance(MEANS[:1], MEANS[:1]), "means and noise (K, C) of two clients or more"),
        (lambda: per_client(0), "per_client: expected one client or more; got 0."),
    ],
)
def test_refusals_say_what_is_wrong(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FederatedError, match=re.escape(message)):
        call()
