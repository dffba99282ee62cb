"""One value by hand and one limit or identity for each pool, and what happens at ties."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import globalpool as gp

Y = torch.float64


def column(*values: float) -> Tensor:
    """One sample, one channel, one axis."""
    return torch.tensor([[values]], dtype=Y)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=Y)


def test_mean_by_hand() -> None:
    assert gp.Mean()(column(1, 2, 6)).item() == 3
    assert gp.Mean()(column(1, 2, 6), mask=torch.tensor([[1.0, 1.0, 0.0]])).item() == 1.5
    assert gp.Mean()(column(1, 2, 6), mask=torch.tensor([[2.0, 0.0, 1.0]])).item() == pytest.approx(8 / 3, rel=1e-15)


@pytest.mark.parametrize(("dim", "axis"), [(-1, -1), (-2, -2), (2, 2), (3, 3), (gp.TIME, 3), (gp.FREQUENCY, 2)])
def test_mean_over_one_axis_is_torchs(dim: int, axis: int) -> None:
    x = noise(2, 3, 5, 7)
    assert_close(gp.Mean(dim=dim)(x), x.mean(axis).flatten(1), rtol=0, atol=1e-15)
    assert gp.Mean(dim=dim).decompose(x).value.shape == (2, 1, 3, x.shape[{2: 3, 3: 2}[axis % 4]])


def test_mean_over_two_of_three_axes_is_torchs() -> None:
    x = noise(2, 3, 4, 5, 6)
    assert_close(gp.Mean(dim=(-3, -1))(x), x.mean((2, 4)).flatten(1), rtol=0, atol=1e-15)


def test_mean_keeps_an_axis_of_ragged_grids() -> None:
    grids = [noise(3, 4, 2), noise(3, 4, 5, seed=1)]
    rows = torch.cat([grid.flatten(1).T for grid in grids])
    y = gp.Mean(dim=-1)(rows, ptr=torch.tensor([0, 8, 28]), shapes=torch.tensor([[4, 2], [4, 5]]))
    assert_close(y, torch.stack([grid.mean(-1).flatten() for grid in grids]), rtol=0, atol=1e-15)


def test_sum_by_hand() -> None:
    assert gp.Sum()(column(1, 2, 6)).item() == 9
    assert gp.Sum()(column(1, 2, 6), mask=torch.tensor([[2.0, 0.0, 0.5]])).item() == 5


def test_scaled_sum_between_sum_and_mean() -> None:
    x = noise(2, 3, 4, 5)
    assert gp.ScaledSum(0.5)(column(1, 2, 6, 7)).item() == 8
    assert_close(gp.ScaledSum(1.0)(x), gp.Mean()(x))
    assert_close(gp.ScaledSum(0.0)(x), gp.Sum()(x))
    # Four times the positions change the sum by 4^(1 - gamma).
    assert_close(gp.ScaledSum(0.3)(x.repeat(1, 1, 2, 2)), gp.ScaledSum(0.3)(x) * 4**0.7)


def test_max_by_hand_and_shares_at_ties() -> None:
    x = column(1, 4, 4, -2).requires_grad_()
    parts = gp.Max().decompose(x)
    assert parts.value.item() == 4
    assert parts.weights.flatten().tolist() == [0, 0.5, 0.5, 0]
    # A negative gradient is shared, not copied to every tie.
    (-gp.Max()(x)).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0, -0.5, -0.5, 0]


def test_max_at_a_masked_maximum_of_a_negative_channel() -> None:
    assert gp.Max()(column(-5, -3, 7), mask=torch.tensor([[True, True, False]])).item() == -3


def test_gem_by_hand_and_limits() -> None:
    assert gp.GeM(p=2.0)(column(1, 7)).item() == pytest.approx(5, rel=1e-15)
    x = noise(2, 3, 4, 5).abs() + 0.01
    assert_close(gp.GeM(p=1.0)(x), gp.Mean()(x))
    top, count = gp.Max()(x), 20
    for p in (10.0, 100.0, 1000.0):
        y = gp.GeM(p=p)(x)
        assert (y <= top).all()
        assert (y >= top * count ** (-1 / p) * (1 - 1e-12)).all()


def test_gem_below_eps_by_hand() -> None:
    x = column(-3, 0.5, 4).requires_grad_()
    parts = gp.GeM(p=2.0, eps=1.0).decompose(x)
    y = math.sqrt((1 + 1 + 16) / 3)
    assert parts.value.item() == pytest.approx(y, rel=1e-15)
    assert parts.weights.flatten().tolist() == pytest.approx([0, 0, 4 / (3 * y)])
    assert parts.remainder.item() == pytest.approx(2 / (3 * y))


def test_gem_takes_powers_that_would_overflow() -> None:
    x = torch.tensor([[[300.0, 200.0, 100.0]]], dtype=torch.float16)
    expected = gp.GeM(p=10.0)(x.double()).item()
    assert gp.GeM(p=10.0)(x).item() == pytest.approx(expected, rel=1e-3)
    assert gp.GeM(p=200.0)(x.float()).item() == pytest.approx(gp.GeM(p=200.0)(x.double()).item(), rel=1e-5)


def test_log_mean_exp_by_hand_and_limits() -> None:
    assert gp.LogMeanExp(r=1.0)(column(0, math.log(3))).item() == pytest.approx(math.log(2), rel=1e-15)
    x = noise(2, 3, 4, 5)
    assert_close(gp.LogMeanExp(r=1e-9)(x), gp.Mean()(x), rtol=0, atol=1e-8)
    assert_close(gp.LogMeanExp(r=-1e-9)(x), gp.Mean()(x), rtol=0, atol=1e-8)
    for r in (1.0, 10.0, 1000.0):
        gap = gp.Max()(x) - gp.LogMeanExp(r=r)(x)
        assert (gap >= 0).all()
        assert (gap <= math.log(20) / r + 1e-12).all()
    assert_close(gp.LogMeanExp(r=-5.0)(x), -gp.LogMeanExp(r=5.0)(-x))


@pytest.mark.parametrize("r", [1e-4, 1e-2, 1.0, 100.0])
def test_log_mean_exp_keeps_its_digits_in_float32(r: float) -> None:
    x = noise(2, 3, 1000).float()
    got, expected = gp.LogMeanExp(r=r).decompose(x), gp.LogMeanExp(r=r).decompose(x.double())
    assert_close(got.value.double(), expected.value, rtol=0, atol=2e-6)
    assert_close(got.remainder.double(), expected.remainder, rtol=0, atol=2e-6)


def test_log_mean_exp_of_large_features_does_not_overflow() -> None:
    x = torch.tensor([[[6e4, -6e4]]], dtype=torch.float16)
    assert gp.LogMeanExp(r=1.0)(x).item() == pytest.approx(6e4, rel=1e-3)


def test_grid_by_hand() -> None:
    x = torch.arange(1.0, 10.0, dtype=Y).reshape(1, 1, 3, 3)
    # Quadrants of 1.5 x 1.5 cells: the corner cell whole, its neighbours by half, the middle one by a quarter.
    corner = (1 * 1 + 0.5 * (2 + 4) + 0.25 * 5) / 2.25
    assert gp.Grid(2, 2)(x)[0, 0].item() == pytest.approx(corner, rel=1e-15)
    assert gp.Grid(1, 1)(x).item() == 5


@pytest.mark.parametrize("sides", [(7, 7), (8, 8), (5, 3), (2, 9)])
def test_exact_grid_keeps_the_mean_where_torchs_bins_do_not(sides: tuple[int, int]) -> None:
    x = noise(2, 3, *sides)
    regions = gp.Grid(2, 2).decompose(x).value.mean(1).flatten(1)
    assert_close(regions, gp.Mean()(x), rtol=0, atol=1e-14)
    overlapping = gp.Grid(2, 2, partition="torch").decompose(x).value.mean(1).flatten(1)
    even = sides[0] % 2 == 0 and sides[1] % 2 == 0
    assert (overlapping - gp.Mean()(x)).abs().max().item() < 1e-14 if even else True
    if not even:
        assert (overlapping - gp.Mean()(x)).abs().max().item() > 1e-3


def test_torch_grid_is_adaptive_average_pooling() -> None:
    functions: dict[int, Callable[..., Tensor]] = {
        1: torch.nn.functional.adaptive_avg_pool1d,
        2: torch.nn.functional.adaptive_avg_pool2d,
        3: torch.nn.functional.adaptive_avg_pool3d,
    }
    for axes, function in functions.items():
        for bins in ((1, 1, 1), (2, 3, 4), (4, 4, 2), (3, 9, 9)):
            x = noise(2, 3, *(7, 6, 8)[:axes], seed=axes)
            expected: Tensor = function(x, bins[:axes])
            got = gp.Grid(*bins[:axes], partition="torch").decompose(x).value
            assert_close(got.transpose(1, 2).reshape(expected.shape), expected, rtol=0, atol=1e-14)


def test_grid_of_points_puts_each_point_into_one_bin() -> None:
    x, pos = column(1, 2, 3, 10)[0].T, torch.tensor([[0.0], [1.0], [4.9], [10.0]], dtype=Y)
    y = gp.Grid(2)(x, ptr=torch.tensor([0, 4]), pos=pos)
    assert y.flatten().tolist() == [2, 10]


def test_attention_starts_as_the_mean() -> None:
    x = noise(2, 3, 4, 5)
    assert torch.equal(gp.Attention(3).double().decompose(x).weights, gp.Mean().decompose(x).weights)
    y = gp.Attention(3, position=gp.PositionGrid(7, 7, heads=2), heads=2).double()(x)
    assert_close(y, gp.Mean()(x).repeat(1, 2))


def scored(*scores: float, temperature: float | gp.Learned = 1.0) -> gp.Attention:
    """Attention on one axis whose scores are given for each position."""
    position = gp.PositionGrid(len(scores))
    with torch.no_grad():
        position.table.copy_(torch.tensor(scores)[:, None])
    return gp.Attention(1, content=None, position=position, temperature=temperature).double()


def test_attention_by_hand() -> None:
    y = scored(0.0, math.log(3))(column(4, 8))
    assert y.item() == pytest.approx((4 + 3 * 8) / 4, rel=1e-7)  # the table is float32


def test_attention_at_low_temperature_is_uniform_over_ties() -> None:
    scores, gap, ties = (1.0, 3.0, 0.0, 3.0, 2.0), 1.0, 2
    for temperature in (2.0, 1.0, 0.5, 0.1, 0.01, 1e-4, 1e-30):
        weights = scored(*scores, temperature=temperature).decompose(column(*range(5))).weights.flatten()
        off = 1 - (weights[1] + weights[3]).item()
        assert off <= (5 - ties) / ties * math.exp(-gap / temperature) + 1e-15
        assert weights[1] == weights[3]
    assert weights.tolist() == [0, 0.5, 0, 0.5, 0]


def test_attention_at_high_temperature_is_the_mean() -> None:
    spread = 3.0
    for temperature in (10.0, 1e3, 1e6):
        weights = scored(1.0, 3.0, 0.0, 3.0, 2.0, temperature=temperature).decompose(column(*range(5))).weights
        assert (weights - 0.2).abs().max().item() <= (math.exp(spread / temperature) - 1) / 5


def test_a_measure_counts_a_position_that_many_times() -> None:
    x, twice = column(1, 5, 2), column(1, 5, 5, 2)
    measure = torch.tensor([[1.0, 2.0, 1.0]])
    content = gp.Attention(1).double()
    with torch.no_grad():
        assert isinstance(content.content, torch.nn.Linear)
        content.content.weight.fill_(0.3)
    for pool in (gp.Mean(), gp.Sum(), gp.ScaledSum(0.5), gp.Max(), gp.GeM(3.0), gp.LogMeanExp(1.0), content):
        assert_close(pool(x, mask=measure), pool(twice))


def test_lengths_along_the_axis_that_is_pooled() -> None:
    spectrogram, lengths = noise(2, 3, 4, 9), torch.tensor([9, 5])
    y = gp.Mean(dim=gp.TIME)(spectrogram, lengths=lengths)
    expected = torch.stack([spectrogram[0].mean(-1).flatten(), spectrogram[1, :, :, :5].mean(-1).flatten()])
    assert_close(y, expected, rtol=0, atol=1e-15)
