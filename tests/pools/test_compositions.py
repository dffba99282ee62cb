"""Concat and Blend: pools made of pools."""

import math
import re
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import globalpool as gp
from globalpool import pools
from globalpool.errors import PoolError
from tests.pools.columns import column, noise
from tests.pools.slow import RULES, Column, Sample, rule


@rule(pools.Concat)
def concat(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    for member in pool.pools:
        if r < member.regions:
            return RULES[type(member)](member, column, sample, r, c)
        r -= member.regions
    raise AssertionError("more regions than pools hold")


@rule(pools.Blend)
def blend(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    share = 1 / (1 + math.exp(-pool.weight.logit.item())) if isinstance(pool.weight, gp.LearnedShare) else pool.weight
    (a, rest_a), (b, rest_b) = (RULES[type(own)](own, column, sample, r, c) for own in (pool.a, pool.b))
    mixed = [share * x + (1 - share) * y for x, y in zip(a, b, strict=True)]
    return mixed, share * rest_a + (1 - share) * rest_b


def test_concat_is_one_after_the_other() -> None:
    assert gp.Concat(gp.Mean(), gp.Max())(column(1, 2, 6)).flatten().tolist() == [3, 6]
    x = noise(2, 3, 4, 5)
    members = [gp.LogMeanExp(2.0), gp.Grid(2, 2), gp.Statistics()]
    pool = gp.Concat(*members)
    assert pool.regions == 7
    assert_close(pool(x), torch.cat([member(x) for member in members], 1), rtol=0, atol=0)
    assert not pool.affine
    assert pool.weights_are_gradient
    assert pool.needs_geometry
    assert gp.Concat(gp.Mean(), gp.Sum()).affine
    assert not gp.Concat(gp.Mean(), gp.SoftmaxPool()).weights_are_gradient


def test_concat_keeps_axes_and_the_strictest_word_on_empty_samples() -> None:
    x = noise(2, 3, 4, 5)
    pool = gp.Concat(gp.Mean(dim=gp.TIME), gp.Max(dim=gp.TIME))
    assert_close(pool(x), torch.cat([x.mean(-1).flatten(1), x.amax(-1).flatten(1)], 1))
    with pytest.raises(PoolError, match=r"Concat: expected at least one position in every sample; got none in samples"):
        gp.Concat(gp.Mean(), gp.Max(empty="raise"))(x, mask=torch.zeros(2, 4, 5, dtype=torch.bool))


def test_a_sum_among_half_pools_keeps_its_range() -> None:
    x = torch.ones(1, 1, 64, 64, 64, dtype=torch.float16)
    assert gp.Concat(gp.Mean(), gp.Sum())(x).tolist() == [[1, 64**3]]
    assert gp.Concat(gp.Sum(), gp.Mean())(x).tolist() == [[64**3, 1]]
    assert gp.Blend(gp.Mean(), gp.Sum())(x).item() == (1 + 64**3) / 2
    assert gp.Concat(gp.Mean(), gp.Max())(x).dtype == torch.float16


def test_blend_by_hand_and_ends() -> None:
    assert gp.Blend(gp.Max(), gp.Mean(), 0.25)(column(1, 2, 6)).item() == 0.25 * 6 + 0.75 * 3
    x = noise(2, 3, 4, 5)
    assert torch.equal(gp.Blend(gp.Max(), gp.Mean(), 1.0)(x), gp.Max()(x))
    assert torch.equal(gp.Blend(gp.Max(), gp.Mean(), 0.0)(x), gp.Mean()(x))
    assert_close(gp.Blend(gp.Mean(), gp.Max(), gp.LearnedShare(0.25))(x), 0.25 * gp.Mean()(x) + 0.75 * gp.Max()(x))
    assert gp.Blend(gp.Mean(), gp.Sum()).affine


def test_a_learned_share_stays_a_share_and_learns() -> None:
    pool = gp.Blend(gp.Max(), gp.Mean(), gp.LearnedShare())
    optimiser = torch.optim.SGD(pool.parameters(), lr=100.0)
    x = noise(2, 3, 4, 5).float()
    for _ in range(50):
        optimiser.zero_grad()
        (-pool(x)).sum().backward()
        optimiser.step()
    assert isinstance(pool.weight, gp.LearnedShare)
    share = pool.weight().item()
    assert 0.99 < share <= 1
    with pytest.raises(PoolError, match=r"LearnedShare: expected an initial value between 0 and 1; got 1\.0"):
        gp.LearnedShare(1.0)


def test_what_is_given_as_raw_parameter_is_trained_as_it_is() -> None:
    pool = gp.Blend(gp.Max(), gp.Mean(), nn.Parameter(torch.tensor(1.5)))
    x = noise(1, 2, 6).float()
    assert_close(pool(x), 1.5 * gp.Max()(x) - 0.5 * gp.Mean()(x))
    pool(x).sum().backward()
    assert pool.weight.grad is not None  # type: ignore[union-attr]


WRONG: list[tuple[Any, str]] = [
    (lambda: gp.Concat(), "Concat: expected at least one pool, and the same `dim` in all of them; got []."),
    (lambda: gp.Concat(gp.Mean(), gp.Max(dim=-1)), "the same `dim` in all of them; got [None, (-1,)]."),
    (lambda: gp.Concat(gp.Mean), "to be an instance of globalpool.Pool; got the class Mean."),  # type: ignore[arg-type]
    (lambda: gp.Blend(gp.Mean(), gp.Statistics()), "Blend: expected two pools with as many regions; got 1 and 2. See"),
    (
        lambda: gp.Blend(gp.Mean(), gp.Max(), float("nan")),
        "Blend: expected `weight` as a finite number, a Parameter ()",
    ),
    (lambda: gp.Blend(gp.Mean(), gp.Max(), nn.Parameter(torch.ones(2))), "Blend: expected `weight` as a finite number"),
]


@pytest.mark.parametrize(("build", "message"), WRONG, ids=[case[1][:40] for case in WRONG])
def test_pools_that_do_not_go_together_are_refused(build: Any, message: str) -> None:
    with pytest.raises(PoolError, match=re.escape(message)):
        build()
