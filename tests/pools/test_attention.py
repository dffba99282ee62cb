"""Attention in full: places of any size, several heads, annealing, and the mass a region gets."""

import math
import re
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import PoolError
from tests.pools.columns import column, noise


def test_masses_of_a_region_of_interest() -> None:
    """n = 9 of N = 49 cells with bias 4 get .9247 at temperature 1 and .9985 at 1/2."""
    assert gp.region_mass(9, 49, 4.0) == pytest.approx(9 * math.exp(4) / (9 * math.exp(4) + 40), rel=1e-14)
    for temperature, expected in ((1.0, 0.9247248), (0.5, 0.9985113)):
        place = gp.RegionOfInterest((1 / 7, 2 / 7), (4 / 7, 5 / 7), bias=4.0)
        pool = gp.Attention(2, content=None, position=place, temperature=temperature).double()
        assert pool.affine
        weights = pool.decompose(noise(1, 2, 7, 7)).weights[0, 0, 0]
        assert weights[1:4, 2:5].sum().item() == pytest.approx(expected, abs=1e-6)
        assert weights[1:4, 2:5].sum().item() == pytest.approx(gp.region_mass(9, 49, 4.0, temperature), rel=1e-12)
    for missing, need in ((1e-2, 6.0867747), (1e-3, 8.3984097), (1e-6, 15.3071644)):
        assert gp.bias_for_mass(1 - missing, 9, 49) == pytest.approx(need, abs=1e-6)
        assert 1 - gp.region_mass(9, 49, need) == pytest.approx(missing, rel=1e-6)
    assert gp.region_mass(9, 49, -2000.0) == 0
    assert gp.region_mass(9, 49, 0.0) == 9 / 49
    assert gp.region_mass(0, 49, 800.0) == 0


def test_a_cold_region_is_the_mean_over_the_region() -> None:
    x = noise(2, 3, 7, 7)
    place = gp.RegionOfInterest((1 / 7, 2 / 7), (4 / 7, 5 / 7), bias=15.3)
    pool = gp.Attention(3, content=None, position=place).double()
    assert_close(pool(x), x[..., 1:4, 2:5].mean((2, 3)), rtol=0, atol=1e-4)
    assert (pool(x) - gp.Mean()(x)).abs().max() > 0.1


@pytest.mark.parametrize("size", [(7, 7), (14, 21), (28, 7)])
def test_a_region_is_the_same_part_of_any_size(size: tuple[int, int]) -> None:
    place = gp.RegionOfInterest((0.0, 0.0), (1.0, 1 / 7), bias=3.0)
    weights = gp.Attention(1, None, place).double().decompose(noise(1, 1, *size)).weights[0, 0, 0]
    share = weights[:, : size[1] // 7].sum().item()
    assert share == pytest.approx(gp.region_mass(1, 7, 3.0), rel=1e-12)


def test_a_region_up_to_one_holds_the_outermost_point() -> None:
    pos = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [0.9, 0.9]])
    pool = gp.Attention(1, None, gp.RegionOfInterest((0.5, 0.5), (1.0, 1.0), 50.0))
    weights = pool.decompose(torch.ones(4, 1), ptr=torch.tensor([0, 4]), pos=pos).weights.flatten()
    assert_close(weights, torch.tensor([0.0, 1 / 3, 1 / 3, 1 / 3]))
    lower, line = gp.Attention(1, None, gp.RegionOfInterest((0.0,), (0.5,), 50.0)), torch.tensor([[0.0], [0.5], [1.0]])
    weights = lower.decompose(torch.ones(3, 1), ptr=torch.tensor([0, 3]), pos=line).weights
    assert_close(weights.flatten(), torch.tensor([1.0, 0.0, 0.0]))  # the border belongs to the next region


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scores_keep_their_digits_and_range_under_autocast(dtype: torch.dtype) -> None:
    x = noise(2, 64, 200).float() * 300
    sine, grid = gp.PositionSine(1, std=3.0), gp.PositionGrid(50, std=3.0)
    content, latent, gated = gp.Attention(64, temperature=50.0), gp.LatentAttention(64), gp.GatedAttention(64)
    nn.init.constant_(content.content.weight, 1.0)  # type: ignore[union-attr, arg-type]
    nn.init.constant_(latent.queries, 0.1)
    for pool in (gp.Attention(64, None, sine, temperature=0.1), gp.Attention(64, None, grid), content, latent, gated):
        expected = pool.decompose(x).weights
        with torch.autocast("cpu", dtype=dtype):
            got = pool.decompose(x).weights
        assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_a_bias_can_be_learned() -> None:
    place = gp.RegionOfInterest((0.0,), (0.5,), bias=nn.Parameter(torch.zeros(())))
    pool, x = gp.Attention(1, None, place), torch.cat([torch.ones(1, 1, 4), torch.zeros(1, 1, 4)], 2)
    (-pool(x)).sum().backward()
    assert isinstance(place.bias, nn.Parameter)
    assert place.bias.grad is not None
    assert place.bias.grad.item() == pytest.approx(-0.25)  # d/db of e^b / (e^b + 1) at 0


def test_sines_by_hand() -> None:
    place = gp.PositionSine(1, waves=2).double()
    with torch.no_grad():
        place.weight.copy_(torch.tensor([[[1.0], [10.0], [100.0], [1000.0]]]))
    u = 0.3
    expected = math.cos(math.pi * u) + 10 * math.cos(2 * math.pi * u)
    expected += 100 * math.sin(math.pi * u) + 1000 * math.sin(2 * math.pi * u)
    assert place(torch.tensor([[u]], dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("place", [gp.PositionSine(2, heads=2, std=1.0), gp.PositionGrid(3, 3, heads=2, std=1.0)])
def test_scores_of_a_place_do_not_depend_on_the_resolution(place: nn.Module) -> None:
    """The centre of a cell of a 5 x 5 map is the centre of the middle one of its 3 x 3 parts at 15 x 15."""
    pool = gp.Attention(1, None, place, heads=2).double()
    coarse, fine = (pool.scores(*pool.arrange(noise(1, 1, side, side))) for side in (5, 15))
    assert_close(fine[..., 1::3, 1::3], coarse, rtol=0, atol=1e-12)


def test_sines_start_at_zero_and_tell_top_from_bottom() -> None:
    x = noise(2, 3, 6, 5)
    pool = gp.Attention(3, None, gp.PositionSine(2)).double()
    assert_close(pool(x), gp.Mean()(x), rtol=0, atol=1e-15)
    assert isinstance(pool.position, gp.PositionSine)
    with torch.no_grad():
        pool.position.weight[0, 0] = 3.0  # cos(pi u) along the first axis
    rows = pool.decompose(x).weights[0, 0, 0].sum(-1)
    assert (rows.diff() < 0).all()


def test_heads_are_attention_pools_side_by_side() -> None:
    torch.manual_seed(0)
    x = noise(2, 3, 4, 5)
    pool = gp.Attention(3, position=gp.PositionGrid(3, 3, heads=2, std=1.0), heads=2, temperature=0.5).double()
    assert isinstance(pool.content, nn.Linear)
    nn.init.normal_(pool.content.weight)
    for head in range(2):
        single = gp.Attention(3, position=gp.PositionGrid(3, 3), temperature=0.5).double()
        with torch.no_grad():
            single.content.weight.copy_(pool.content.weight[head])  # type: ignore[union-attr, operator]
            single.position.table.copy_(pool.position.table[..., head, None])  # type: ignore[union-attr, operator, index]
        assert_close(pool.decompose(x).value[:, head], single(x))


def test_annealing_goes_from_start_to_stop_and_is_saved_with_the_model() -> None:
    temperature = gp.Annealed(2.0, 0.02, steps=100)
    seen = []
    for _ in range(101):
        seen.append(temperature().item())
        temperature.advance()
    assert (seen[0], seen[50], seen[100]) == pytest.approx((2.0, 0.2, 0.02), rel=1e-6)
    assert temperature().item() == pytest.approx(0.02, rel=1e-6)  # and stays there
    wide = gp.Annealed(1e-20, 1e20, steps=2)
    wide.advance()
    assert wide().item() == pytest.approx(1, rel=1e-5)
    linear = gp.Annealed(2.0, 1.0, steps=4, schedule="linear")
    linear.advance()
    assert linear().item() == 1.75
    pool = gp.Attention(3, temperature=gp.Annealed(2.0, 0.02, steps=100))
    assert isinstance(pool.temperature, gp.Annealed)
    for _ in range(30):
        pool.temperature.advance()
    resumed = gp.Attention(3, temperature=gp.Annealed(2.0, 0.02, steps=100))
    resumed.load_state_dict(pool.state_dict())
    assert isinstance(resumed.temperature, gp.Annealed)
    assert resumed.temperature().item() == pool.temperature().item() < 1


def test_an_annealed_attention_hardens() -> None:
    pool = gp.Attention(1, temperature=gp.Annealed(1e3, 1e-3, steps=2)).double()
    nn.init.ones_(pool.content.weight)  # type: ignore[union-attr, arg-type]
    x = column(1, 2, 3)
    assert pool(x).item() == pytest.approx(2, abs=1e-3)
    assert isinstance(pool.temperature, gp.Annealed)
    pool.temperature.advance()
    assert pool(x).item() == pytest.approx(gp.SoftmaxPool(1.0)(x).item())
    pool.temperature.advance()
    assert pool(x).item() == 3


@pytest.mark.parametrize("number", [gp.Annealed(3.0, 1.0, 10)])
def test_other_pools_take_annealed_numbers_too(number: gp.Annealed) -> None:
    x = noise(2, 3, 5).abs()
    assert_close(gp.GeM(number)(x), gp.GeM(3.0)(x))
    assert_close(gp.LogMeanExp(number)(x), gp.LogMeanExp(3.0)(x))
    assert_close(gp.SoftmaxPool(number)(x), gp.SoftmaxPool(3.0)(x))


WRONG: list[tuple[Any, str]] = [
    (
        lambda: gp.Annealed(1.0, 0.0, 10),
        "Annealed: expected `start` and `stop` between 1e-30 and 1e30; got 1.0 to 0.0.",
    ),
    (lambda: gp.Annealed(1.0, 0.1, 0), "Annealed: expected `steps` as a whole number of at least 1; got 0."),
    (lambda: gp.Annealed(1.0, 0.1, 5, "cosine"), 'Annealed: expected `schedule` to be "geometric" or "linear"; got'),  # type: ignore[arg-type]
    (
        lambda: gp.RegionOfInterest((0.5,), (0.2,), 1.0),
        "RegionOfInterest: expected `low` below `high` on each axis; got",
    ),
    (
        lambda: gp.Attention(1, None, gp.RegionOfInterest((0.0,), (0.2,), 1.0))(torch.rand(1, 1, 3, 3)),
        "RegionOfInterest: expected positions with 1 axes; got 2.",
    ),
    (
        lambda: gp.bias_for_mass(1.0, 9, 49),
        "bias_for_mass: expected a mass between 0 and 1 and a part of the positions;",
    ),
    (lambda: gp.PositionSine(0), "PositionSine: expected `axes` as a whole number of at least 1; got 0."),
    (lambda: gp.Attention(3, heads=0), "Attention: expected `heads` as a whole number of at least 1; got 0."),
    (
        lambda: gp.Attention(3, torch.tanh),  # type: ignore[arg-type]
        'Attention: expected `content` to be "linear", a module or None; got <built-in',
    ),
    (lambda: gp.SoftmaxPool("1"), "SoftmaxPool: expected `temperature` between 1e-30 and 1e30, or Learned; got '1'."),  # type: ignore[arg-type]
    (
        lambda: gp.RegionOfInterest((0.0,), (1.0,), float("nan")),
        "RegionOfInterest: expected `bias` as a finite number or a Parameter (); got nan.",
    ),
    (
        lambda: gp.region_mass(60, 49, 1.0),
        "region_mass: expected a part of at least one position and a positive temper",
    ),
    (lambda: gp.region_mass(9, 49, 1.0, 0.0), "region_mass: expected a part of at least one position and a positive"),
    (
        lambda: gp.Attention(1, None, gp.PositionSine(1))(torch.rand(1, 1, 3, 3)),
        "PositionSine: expected positions with 1 axes; got 2.",
    ),
    (lambda: gp.Attention(3, "quadratic"), 'Attention: expected `content` to be "linear", a module or None; got'),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("build", "message"), WRONG, ids=[case[1][:40] for case in WRONG])
def test_wrong_settings_are_refused(build: Any, message: str) -> None:
    with pytest.raises(PoolError, match=re.escape(message)):
        build()
