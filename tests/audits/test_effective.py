"""Effective sample sizes against closed forms, loops and draws."""

import math

import pytest
import torch
from torch import Tensor

from globalpool.audits.effective import (
    autoregressive,
    from_correlation,
    from_neighbours,
    from_weights,
    measured,
    neighbours,
    shuffled,
)
from tests.audits.samples import noise


@pytest.mark.parametrize(
    ("size", "phi", "expected"), [((7, 7), 0.9, 1.57), ((32, 32), 0.9, 5.56), ((7, 7), 0.5, 8.28), ((7, 7), 0.0, 49.0)]
)
def test_fields_of_known_correlation_are_worth_what_the_finite_formula_says(
    size: tuple[int, int], phi: float, expected: float
) -> None:
    assert float(from_correlation(autoregressive(size, phi))) == pytest.approx(expected, abs=0.005)


def test_weights_of_independent_positions() -> None:
    assert float(from_weights(torch.full((49,), 1 / 49))) == pytest.approx(49)
    assert float(from_weights(torch.tensor([0.5, 0.25, 0.25]))) == pytest.approx(1 / (0.25 + 2 / 16))
    assert float(from_weights(3 * torch.ones(10))) == pytest.approx(10)


def test_a_weighted_size_is_the_quadratic_form() -> None:
    weights, correlation = (
        torch.rand(12, generator=torch.Generator().manual_seed(0)).double(),
        autoregressive((3, 4), 0.6),
    )
    total = sum(float(weights[i] * correlation[i, j] * weights[j]) for i in range(12) for j in range(12))
    assert float(from_correlation(correlation, weights)) == pytest.approx(float(weights.sum()) ** 2 / total)


def test_neighbours_are_correlated_as_the_loop_over_pairs_says_and_the_size_is_the_finite_formula() -> None:
    maps = noise(5, 2, 3, 4, dtype=torch.float64).cumsum(3)
    centred = maps - maps.mean(0)
    for channel in range(2):
        left, right = centred[:, channel, :, :3].flatten().tolist(), centred[:, channel, :, 1:].flatten().tolist()
        product = sum(a * b for a, b in zip(left, right, strict=True))
        expected = product / math.sqrt(sum(a * a for a in left) * sum(b * b for b in right))
        assert float(neighbours(maps)[1, channel]) == pytest.approx(expected)
        rows, columns = neighbours(maps)[:, channel].tolist()
        sizes = [float(from_correlation(autoregressive((side,), phi))) for side, phi in ((3, rows), (4, columns))]
        assert float(from_neighbours(maps)[channel]) == pytest.approx(sizes[0] * sizes[1])


def fields(count: int, size: int, phi: float) -> Tensor:
    """``(count, 1, size, size)`` with the correlation of ``autoregressive``, by its Cholesky factor along each axis."""
    factor = torch.linalg.cholesky(autoregressive((size,), phi))
    drawn = noise(count, size, size, dtype=torch.float64)
    return torch.einsum("ij,njk,lk->nil", factor, drawn, factor)[:, None]


def test_drawn_fields_are_worth_the_formula_and_not_their_count() -> None:
    maps = fields(4000, 7, 0.9)
    vectors = maps.flatten(2).mean(2)
    assert float(measured(maps, vectors)) == pytest.approx(1.57, rel=0.1)
    assert float(from_neighbours(maps)) == pytest.approx(1.57, rel=0.1)
    mixed = shuffled(maps, torch.Generator().manual_seed(1))
    assert torch.equal(mixed.sort(0).values, maps.sort(0).values)
    assert float(measured(mixed, mixed.flatten(2).mean(2))) == pytest.approx(49, rel=0.1)


def test_white_noise_is_worth_its_count_and_boxes_a_ninth() -> None:
    maps = noise(20_000, 1, 8, 8, dtype=torch.float64)
    assert float(measured(maps, maps.flatten(2).mean(2))) == pytest.approx(64, rel=0.05)
    box = sum(maps.roll((i, j), (2, 3)) for i in (-1, 0, 1) for j in (-1, 0, 1))
    assert isinstance(box, Tensor)
    assert float(measured(box, box.flatten(2).mean(2))) == pytest.approx(64 / 9, rel=0.05)
