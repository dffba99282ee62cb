"""LearnedRegions: masks that share out each position, in two normalisations, and whether they collapse."""

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
from tests.pools.columns import noise
from tests.pools.slow import Column, Sample, rule, score


def shares(pool: Any, cell: tuple[int, ...], sample: Sample, count: int) -> list[float]:
    """The softmax over the regions at one cell."""
    scores = [score(pool.content, pool.position, cell, sample, region) for region in range(count)]
    exponentials = [math.exp(s - max(scores)) for s in scores]
    return [e / sum(exponentials) for e in exponentials]


@rule(pools.LearnedRegions)
def learned_regions(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    held = [m * shares(pool, cell, sample, pool.regions)[r] for cell, m, _ in column]
    total = sum(held) if pool.normalize == "mass" else sum(m for _, m, _ in column)
    return [h / total for h in held], 0.0


def random_regions(regions: int, normalize: Any, position: bool = True) -> gp.LearnedRegions:
    torch.manual_seed(0)
    place = gp.PositionGrid(4, 4, heads=regions, std=2.0) if position else None
    return gp.LearnedRegions(3, regions, position=place, normalize=normalize).double()


SIDES = [(8, 8), (7, 7), (5, 3), (1, 9)]


@pytest.mark.parametrize("sides", SIDES)
def test_masks_sum_to_one_at_every_position_and_masses_to_one(sides: tuple[int, int]) -> None:
    x, mask = noise(2, 3, *sides), torch.rand(2, *sides, generator=torch.Generator().manual_seed(1)) > 0.3
    pool = random_regions(4, "area")
    assert_close(pool.masks(x).sum(1), torch.ones(2, *sides, dtype=x.dtype), rtol=0, atol=1e-12)
    assert_close(pool.masks(x, mask=mask).sum(1), mask.double(), rtol=0, atol=1e-12)
    assert_close(pool.masses(x, mask=mask).sum(1), torch.ones(2, dtype=x.dtype), rtol=0, atol=1e-12)
    # Over positions they do not sum to one: that would be attention.
    assert (pool.masks(x).flatten(2).sum(-1) - 1).abs().min() > 1e-3


@pytest.mark.parametrize("sides", SIDES)
def test_area_regions_sum_to_the_mean_and_mass_regions_with_their_masses(sides: tuple[int, int]) -> None:
    x, measure = noise(2, 3, *sides), 0.1 + torch.rand(2, *sides, generator=torch.Generator().manual_seed(1)).double()
    for mask in (None, measure):
        mean = gp.Mean()(x, mask=mask)
        area, mass = random_regions(4, "area"), random_regions(4, "mass")
        assert_close(area.decompose(x, mask=mask).value.sum(1), mean, rtol=0, atol=1e-12)
        weighted = mass.decompose(x, mask=mask).value * mass.masses(x, mask=mask).unsqueeze(-1)
        assert_close(weighted.sum(1), mean, rtol=0, atol=1e-12)
        assert (mass.decompose(x, mask=mask).value.mean(1) - mean).abs().max() > 1e-3  # the plain average is not


@pytest.mark.parametrize("normalize", ["area", "mass"])
def test_one_region_is_the_mean(normalize: Any) -> None:
    x = noise(2, 3, 7, 5)
    assert_close(random_regions(1, normalize)(x), gp.Mean()(x), rtol=0, atol=1e-14)


def test_equal_scores_share_the_mean_or_repeat_it() -> None:
    x, mean = noise(2, 3, 7, 5), gp.Mean()(noise(2, 3, 7, 5))
    for normalize, factor in (("area", 1 / 4), ("mass", 1.0)):
        pool = random_regions(4, normalize)
        nn.init.zeros_(pool.content.weight)  # type: ignore[union-attr, arg-type]
        nn.init.constant_(pool.content.bias, 0.7)  # type: ignore[union-attr, arg-type]
        nn.init.constant_(pool.position.table, -2.0)  # type: ignore[union-attr, arg-type]
        assert_close(pool(x), (mean * factor).repeat(1, 4), rtol=0, atol=1e-14)


def test_the_start_is_not_symmetric_and_symmetric_masks_under_a_symmetric_tail_do_not_learn() -> None:
    torch.manual_seed(0)
    x = noise(4, 3, 6, 6)
    pool = gp.LearnedRegions(3, 3).double()
    assert (pool.masks(x).std(1) > 1e-3).all()
    symmetric = gp.LearnedRegions(3, 3).double()
    for parameter in symmetric.parameters():
        nn.init.zeros_(parameter)
    row = noise(1, 3).repeat(1, 3)  # the same tail for every region
    for own, learns in ((pool, True), (symmetric, False)):
        loss = (own(x) * row).sum(1).square().sum() if not learns else (own(x) * noise(1, 9)).sum(1).square().sum()
        gradients = torch.autograd.grad(loss, list(own.parameters()))
        largest = max(float(gradient.abs().max()) for gradient in gradients)
        assert largest > 1e-3 if learns else largest < 1e-15


def test_position_alone_is_affine_and_content_is_not() -> None:
    assert gp.LearnedRegions(3, 2, None, gp.PositionSine(2, heads=2)).affine
    assert not gp.LearnedRegions(3, 2, position=gp.PositionSine(2, heads=2)).affine


def test_usage_entropy_and_balance_by_hand() -> None:
    even = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    assert gp.usage_entropy(even).item() == pytest.approx(math.log(2))
    assert gp.balance_loss(even).item() == pytest.approx(0, abs=1e-7)
    # Each sample in one region, the batch in both: used evenly.
    assert gp.balance_loss(torch.eye(2)).item() == pytest.approx(0, abs=1e-7)
    skewed = torch.tensor([[0.9, 0.1], [0.6, 0.4]])
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert gp.usage_entropy(skewed).item() == pytest.approx(expected, rel=1e-6)
    collapsed = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = gp.balance_loss(collapsed)
    assert loss.item() == pytest.approx(math.log(2))
    (gradient,) = torch.autograd.grad(loss, collapsed)
    assert gradient.isfinite().all()
    assert gp.usage_entropy(torch.zeros(2, 3)).item() == 0
    empty_too = torch.tensor([[0.75, 0.25], [0.0, 0.0]])
    assert gp.usage_entropy(empty_too).item() == pytest.approx(expected, rel=1e-6)


def test_the_balance_loss_undoes_a_collapse() -> None:
    torch.manual_seed(0)
    pool, x = gp.LearnedRegions(3, 4), torch.randn(16, 3, 6, 6)
    with torch.no_grad():
        pool.content.bias.copy_(torch.tensor([6.0, 0, 0, 0]))  # type: ignore[union-attr, operator]
    before = gp.usage_entropy(pool.masses(x)).item()
    optimiser = torch.optim.Adam(pool.parameters(), lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        gp.balance_loss(pool.masses(x)).backward()
        optimiser.step()
    assert before < 0.1
    assert gp.usage_entropy(pool.masses(x)).item() > 0.99 * math.log(4)


@pytest.mark.parametrize("gap", range(60, 121, 5))
def test_a_region_that_is_hardly_used_gets_finite_gradients_in_float32(gap: int) -> None:
    hardly_used = [
        gp.LearnedRegions(1, 2, normalize="area"),
        gp.LearnedRegions(1, 2, normalize="mass"),
        gp.LearnedClusters(1, 2),
        gp.LearnedClusters(1, 2, gp.Statistics(), weighting="mass"),
    ]
    for pool in hardly_used:
        with torch.no_grad():
            pool.content.weight.zero_()  # type: ignore[union-attr, operator]
            pool.content.bias.copy_(torch.tensor([0.0, -float(gap)]))  # type: ignore[union-attr, operator]
        x = torch.rand(1, 1, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
        for gradient in torch.autograd.grad(pool(x).sum(), [x, *pool.parameters()]):
            assert gradient.isfinite().all(), pool.name


def test_masses_of_an_empty_sample_are_zero() -> None:
    mask = torch.ones(2, 4, 4, dtype=torch.bool)
    mask[1] = False
    masses = random_regions(3, "area").masses(noise(2, 3, 4, 4), mask=mask)
    assert_close(masses.sum(1), torch.tensor([1.0, 0.0], dtype=masses.dtype))


WRONG: list[tuple[Any, str]] = [
    (lambda: gp.LearnedRegions(3, 0), "LearnedRegions: expected `regions` as a whole number of at least 1; got 0."),
    (
        lambda: gp.LearnedRegions(3, 2, normalize="sum"),  # type: ignore[arg-type]
        'LearnedRegions: expected `normalize` to be "area" or "mass"; got \'sum\'.',
    ),
    (lambda: gp.LearnedRegions(3, 2, None), "LearnedRegions: expected `content`, `position` or both; got neither."),
    (
        lambda: gp.LearnedRegions(3, 2, None, gp.PositionGrid(3, 3))(torch.rand(1, 3, 4, 4)),
        "LearnedRegions: expected scores (*, 2), one a head, region or cluster; got (1, 4, 4, 1).",
    ),
    (
        lambda: gp.usage_entropy(torch.ones(3)),
        "usage_entropy: expected masses (N, R) of a pool with regions; got float32",
    ),
]


@pytest.mark.parametrize(("build", "message"), WRONG, ids=[case[1][:40] for case in WRONG])
def test_wrong_regions_are_refused(build: Any, message: str) -> None:
    with pytest.raises(PoolError, match=re.escape(message)):
        build()
