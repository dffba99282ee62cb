"""Pools of pools: weights multiply, equal clusters keep the mean, masses always do."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.testing import assert_close

import globalpool as gp
from globalpool import pools
from globalpool.errors import LayoutError, PoolError
from tests.pools.columns import column, noise
from tests.pools.slow import RULES, Array, Column, Sample, rule, vector
from tests.pools.test_regions import shares


@rule(pools.Clusters)
def clusters(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    assert sample.assignment is not None
    given = sample.assignment
    if given.ndim == len(sample.shape):
        count = int(given.max()) + 1
        held = [[float(given[cell] == g) for g in range(count)] for cell, _, _ in column]
    else:
        held = [vector(given, cell) for cell, _, _ in column]
    return nested(pool, column, sample, r, c, held)


@rule(pools.LearnedClusters)
def learned_clusters(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    return nested(pool, column, sample, r, c, [shares(pool, cell, sample, pool.count) for cell, _, _ in column])


def nested(
    pool: Any, column: Column, sample: Sample, r: int, c: int, held: list[list[float]]
) -> tuple[list[float], float]:
    """The inner rule on each cluster, the outer one on what they give; products of weights, cell by cell."""
    channels, inner_regions = len(sample.x), pool.inner.regions
    r2, r1 = divmod(r, inner_regions)
    inside: list[tuple[int, float, list[int], dict[int, list[float]], dict[int, float]]] = []
    vectors = []
    for g in range(len(held[0])):
        members = [i for i in range(len(column)) if column[i][1] * held[i][g] > 0]
        if not members:
            continue
        weights, rests, given = {}, {}, []
        for region in range(inner_regions):
            for channel in range(channels):
                own: Column = [
                    (column[i][0], column[i][1] * held[i][g], float(sample.x[(channel, *column[i][0])]))
                    for i in members
                ]
                w, rest = RULES[type(pool.inner)](pool.inner, own, sample, region, channel)
                key = region * channels + channel
                weights[key], rests[key] = w, rest
                given.append(sum(a * f for a, (_, _, f) in zip(w, own, strict=True)) + rest)
        inside.append((g, sum(column[i][1] * held[i][g] for i in members), members, weights, rests))
        vectors.append(given)
    key = r1 * channels + c
    x: Array = np.array(vectors).T
    above: Column = [
        ((place,), mass if pool.weighting == "mass" else 1.0, vectors[place][key])
        for place, (_, mass, _, _, _) in enumerate(inside)
    ]
    outer, rest = RULES[type(pool.outer)](pool.outer, above, Sample(x, (len(vectors),)), r2, key)
    total = [0.0] * len(column)
    for b, (_, _, members, weights, rests) in zip(outer, inside, strict=True):
        rest += b * rests[key]
        for i, a in zip(members, weights[key], strict=True):
            total[i] += b * a
    return total, rest


def test_by_hand() -> None:
    x, number = column(1, 3, 5, 7, 20), torch.tensor([[0, 0, 1, 1, 2]])
    parts = gp.Clusters().decompose(x, assignment=number)
    assert parts.value.item() == pytest.approx((2 + 6 + 20) / 3, rel=1e-15)
    assert parts.weights.flatten().tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 3], rel=1e-15)
    by_mass = gp.Clusters(weighting="mass").decompose(x, assignment=number)
    assert by_mass.weights.flatten().tolist() == pytest.approx([1 / 5] * 5, rel=1e-15)
    largest_mean = gp.Clusters(gp.Mean(), gp.Max()).decompose(x, assignment=number)
    assert largest_mean.value.item() == 20
    assert largest_mean.weights.flatten().tolist() == [0, 0, 0, 0, 1]
    mean_of_largest = gp.Clusters(gp.Max(), gp.Mean())(x, assignment=number)
    assert mean_of_largest.item() == pytest.approx((3 + 7 + 20) / 3, rel=1e-15)


def quarters(height: int, width: int) -> Tensor:
    rows, columns = torch.arange(height) * 2 // height, torch.arange(width) * 2 // width
    return rows[:, None] * 2 + columns


def test_equal_clusters_keep_the_mean_and_unequal_ones_do_not_unless_weighted_by_mass() -> None:
    for sides, equal in (((8, 6), True), ((7, 5), False)):
        x, number = noise(2, 3, *sides), quarters(*sides).expand(2, -1, -1)
        gap = (gp.Clusters()(x, assignment=number) - gp.Mean()(x)).abs().max().item()
        assert gap < 1e-14 if equal else gap > 1e-3
        assert_close(gp.Clusters(weighting="mass")(x, assignment=number), gp.Mean()(x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("inner", [gp.Mean(), gp.Max(), gp.GeM(), gp.Statistics(), gp.LogMeanExp()])
@pytest.mark.parametrize("outer", [gp.Mean(), gp.Sum(), gp.Concat(gp.Mean(), gp.Max())])
def test_numbers_are_one_hot_shares(inner: gp.Pool, outer: gp.Pool) -> None:
    x, number = noise(2, 3, 7, 5), quarters(7, 5).expand(2, -1, -1)
    pool = gp.Clusters(inner, outer, weighting="mass")
    hard = pool.decompose(x, assignment=number)
    soft = pool.decompose(x, assignment=one_hot(number).movedim(-1, 1).double())
    assert_close(hard.value, soft.value, rtol=1e-12, atol=1e-12)
    assert_close(hard.weights, soft.weights, rtol=1e-12, atol=1e-12)
    assert_close(hard.remainder, soft.remainder, rtol=1e-12, atol=1e-12)


def test_shares_that_sum_to_one_keep_sum_and_mean() -> None:
    """DiffPool's invariant: the clusters' sums add up to the sum of all nodes."""
    x, share = noise(2, 3, 20), noise(2, 4, 20, seed=1).softmax(1)
    assert_close(gp.Clusters(gp.Sum(), gp.Sum())(x, assignment=share), gp.Sum()(x), rtol=0, atol=1e-13)
    assert_close(gp.Clusters(weighting="mass")(x, assignment=share), gp.Mean()(x), rtol=0, atol=1e-13)


def test_graphs_with_different_numbers_of_clusters_in_one_batch() -> None:
    x, batch = noise(9, 3), torch.tensor([0] * 4 + [1] * 5)
    number = torch.tensor([0, 0, 1, 1, 0, 1, 2, 3, 3])
    together = gp.Clusters(gp.Mean(), gp.Max())(x, batch=batch, assignment=number)
    first = torch.stack([x[0:2].mean(0), x[2:4].mean(0)]).amax(0)
    second = torch.stack([x[4], x[5], x[6], x[7:9].mean(0)]).amax(0)
    assert_close(together, torch.stack([first, second]), rtol=0, atol=1e-15)


def test_superpixels_of_a_picture_explain_its_logits() -> None:
    x, number = noise(1, 3, 9, 9), (quarters(9, 9) * 2).unsqueeze(0)  # odd numbers are empty clusters
    head = gp.PooledHead(gp.Clusters(gp.Statistics(), gp.Concat(gp.Mean(), gp.Max())), 4 * 3, 5).double()
    evidence = head.evidence(x, "all", assignment=number).check()
    assert evidence.kind == "weighted"
    linear = gp.PooledHead(gp.Clusters(), 3, 5).double()
    evidence = linear.evidence(x, "all", assignment=number).check()
    assert evidence.kind == "linear"
    # Taking the positions of one cluster away takes exactly their evidence away.
    gone = torch.where(number.unsqueeze(1) == 2, 0.0, x)
    lost = linear(x, assignment=number) - linear(gone, assignment=number)
    assert_close(lost, (evidence.maps * (number == 2).unsqueeze(1)).flatten(2).sum(-1), rtol=0, atol=1e-14)


def test_numbers_may_be_any_and_cost_only_the_clusters_there_are() -> None:
    x, number = noise(2, 3, 7, 5), quarters(7, 5).expand(2, -1, -1)
    wild = torch.tensor([3, 10**6, 10**12, 10**12 + 1])[number] + torch.tensor([0, 7])[:, None, None]
    pool = gp.Clusters(gp.Mean(), gp.Statistics())
    assert_close(pool(x, assignment=wild), pool(x, assignment=number), rtol=0, atol=1e-14)


def test_the_vectors_of_the_clusters_and_their_masses() -> None:
    x, number, nothing = noise(1, 2, 5), torch.tensor([[0, 0, 2, 2, 2]]), torch.zeros(2, dtype=torch.float64)
    vectors, masses = gp.Clusters(count=4).clusters(x, assignment=number)
    expected = torch.stack([x[0, :, :2].mean(1), nothing, x[0, :, 2:].mean(1), nothing], 1)
    assert_close(vectors, expected[None, None])
    assert masses.tolist() == [[2, 0, 3, 0]]
    share = noise(1, 3, 5, seed=1).softmax(1)
    vectors, masses = gp.Clusters(gp.Sum()).clusters(x, assignment=share)
    assert_close(vectors[0, 0], x[0] @ share[0].T)
    assert_close(masses, share.sum(-1))


def test_half_sums_of_clusters_keep_their_range() -> None:
    x = torch.full((1, 1, 2048), 100.0, dtype=torch.float16)
    assert gp.Clusters(gp.Sum())(x, assignment=torch.zeros(1, 2048, dtype=torch.long)).item() == 204_800


def test_clusters_among_other_pools() -> None:
    x, number = noise(1, 3, 9, 9), quarters(9, 9).unsqueeze(0)
    pool = gp.Concat(gp.Mean(), gp.Clusters(gp.Max()), gp.Grid(2, 2))
    assert pool.needs_assignment
    head = gp.PooledHead(pool, pool.out_features(3), 5).double()
    head.evidence(x, "all", assignment=number).check()
    assert_close(pool(x, assignment=number)[:, 3:6], gp.Clusters(gp.Max())(x, assignment=number))
    assert gp.Blend(gp.Mean(), gp.Clusters()).needs_assignment


def test_an_unknown_count_is_asked_for_under_compile() -> None:
    compiled = torch.compile(gp.Clusters(), backend="eager", fullgraph=True)
    with pytest.raises(
        Exception, match=r"Clusters: expected `count` under torch\.compile; got None\. Build the pool with"
    ):
        compiled(noise(1, 3, 4), assignment=NUMBERS)


def test_channels_last_tokens_take_shares_in_the_same_order() -> None:
    tokens, share = noise(2, 6, 3), noise(2, 6, 4, seed=1).softmax(-1)
    y = gp.Clusters(gp.Mean(), gp.Sum())(tokens, channel_dim=-1, assignment=share)
    expected = (share.mT @ tokens / share.mT.sum(-1, keepdim=True)).sum(1)
    assert_close(y, expected)


def test_learned_clusters_learn_and_keep_the_mean_by_mass() -> None:
    torch.manual_seed(0)
    x = noise(2, 3, 7, 5)
    pool = gp.LearnedClusters(3, 4, weighting="mass").double()
    assert_close(pool(x), gp.Mean()(x), rtol=0, atol=1e-14)
    assert_close(pool.shares(x).sum(1), torch.ones(2, 7, 5, dtype=x.dtype))
    assert_close(pool.masses(x).sum(1), torch.ones(2, dtype=x.dtype))
    unequal = gp.LearnedClusters(3, 4, gp.Mean(), gp.Max()).double()
    given = gp.Clusters(gp.Mean(), gp.Max())(x, assignment=unequal.shares(x))
    assert_close(unequal(x), given, rtol=1e-12, atol=1e-12)
    unequal(x).square().sum().backward()
    assert isinstance(unequal.content, nn.Linear)
    assert unequal.content.weight.grad is not None
    assert unequal.content.weight.grad.abs().max() > 1e-4


def call(pool: gp.Pool, assignment: Any, **arguments: Any) -> Any:
    return lambda: pool(torch.rand(1, 3, 4), assignment=assignment, **arguments)


NUMBERS = torch.tensor([[0, 1, 2, 1]])
WRONG: list[tuple[Any, type[Exception], str]] = [
    (call(gp.Clusters(), None), PoolError, "Clusters: expected `assignment=`, the cluster of each position; got none."),
    (
        call(gp.Clusters(count=2), NUMBERS),
        PoolError,
        "Clusters: expected cluster numbers below `count` = 2; got the number 2. Raise `count`.",
    ),
    (
        call(gp.Clusters(), -NUMBERS),
        LayoutError,
        "Clusters: expected cluster numbers from 0 at every present position; got -2. Positions that belong to no",
    ),
    (
        call(gp.Clusters(), NUMBERS[:, :3]),
        LayoutError,
        "Clusters: expected `assignment` as cluster numbers, integers (1, 4), or shares of G clusters, floating with G",
    ),
    (
        call(gp.Clusters(), torch.full((1, 2, 4), -0.5)),
        LayoutError,
        "Clusters: expected shares of clusters between 0 and 1e+30 at every present position; got shares from -0.5 to",
    ),
    (
        lambda: gp.Clusters(gp.Grid(2, 2)),
        PoolError,
        "Clusters: expected pools that need no geometry, `dim` or assignment of their own; got Grid, which needs axes",
    ),
    (
        lambda: gp.LearnedClusters(3, 2, gp.Clusters()),
        PoolError,
        "LearnedClusters: expected pools that need no geometry, `dim` or assignment of their own; got Clusters, which",
    ),
    (lambda: gp.Clusters(nn.AvgPool2d(2)), PoolError, "to be an instance of globalpool.Pool; got AvgPool2d."),  # type: ignore[arg-type]
    (
        lambda: gp.Clusters(weighting="size"),  # type: ignore[arg-type]
        PoolError,
        'Clusters: expected `weighting` to be "equal" or "mass"; got \'size\'.',
    ),
    (lambda: gp.Clusters(count=0), PoolError, "Clusters: expected `count` as a whole number of at least 1; got 0."),
    (
        lambda: gp.LearnedClusters(3, 0),
        PoolError,
        "LearnedClusters: expected `clusters` as a whole number of at least 1;",
    ),
    (
        lambda: gp.LearnedClusters(3, 2, gp.Max()),
        PoolError,
        "LearnedClusters: expected an `inner` pool that shares can teach; got Max, to which every share above 0 is",
    ),
    (
        call(gp.Clusters(), torch.full((1, 2, 4), 1e31)),
        LayoutError,
        "Clusters: expected shares of clusters between 0 and 1e+30 at every present position; got shares from 1e+31",
    ),
]


@pytest.mark.parametrize(("build", "error", "message"), WRONG, ids=[case[2][:60] for case in WRONG])
def test_what_does_not_fit_is_refused(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        build()
