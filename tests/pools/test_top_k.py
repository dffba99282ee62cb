"""TopK: the mean of the k largest, ties shared at rank k."""

import re
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import globalpool as gp
from globalpool import pools
from globalpool.errors import PoolError
from tests.pools.columns import column, noise
from tests.pools.slow import Column, Sample, rule


@rule(pools.TopK)
def top_k(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    """Take value after value from the top; positions of one value share what is left in proportion to their measure."""
    wanted = min(float(pool.k), sum(m for _, m, _ in column))
    shares, left = [0.0] * len(column), wanted
    for value in sorted({f for _, _, f in column}, reverse=True):
        level = [i for i, (_, _, f) in enumerate(column) if f == value]
        held = sum(column[i][1] for i in level)
        for i in level:
            shares[i] = column[i][1] / held * min(left, held) / wanted
        left = max(0.0, left - held)
    return shares, 0.0


def test_by_hand_and_ties_at_rank_k() -> None:
    assert gp.TopK(3)(column(1, 4, 5, -2, 3)).item() == pytest.approx(4, rel=1e-15)
    parts = gp.TopK(2).decompose(column(5, 2, 2, 2, 1))
    assert parts.value.item() == pytest.approx(3.5, rel=1e-15)
    assert parts.weights.flatten().tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6, 0], rel=1e-15)


def test_a_negative_gradient_is_shared_among_ties() -> None:
    x = column(5, 2, 2, 1).requires_grad_()
    (-gp.TopK(2)(x)).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [-0.5, -0.25, -0.25, 0]


def test_one_is_the_maximum_and_many_are_the_mean() -> None:
    x = noise(2, 3, 4, 5).round(decimals=1)  # with ties
    assert_close(gp.TopK(1)(x), gp.Max()(x))
    assert_close(gp.TopK(1).decompose(x).weights, gp.Max().decompose(x).weights)
    assert_close(gp.TopK(20)(x), gp.Mean()(x))
    assert_close(gp.TopK(1000)(x), gp.Mean()(x))
    assert_close(gp.TopK(7)(x).flatten(), x.flatten(2).sort(-1, descending=True).values[..., :7].mean(-1).flatten())


def test_a_measure_is_taken_until_it_holds_k() -> None:
    measure = torch.tensor([[0.5, 1.0, 2.0, 1.0]])
    # 9 holds 0.5, 7 holds 1, and of the 2 that 4 holds, 0.5 is taken.
    assert gp.TopK(2)(column(9, 7, 4, 1), mask=measure).item() == pytest.approx((4.5 + 7 + 2) / 2, rel=1e-15)


def test_fewer_positions_than_k_mean_all_of_that_sample_alone() -> None:
    x, sizes = noise(2, 1, 6), torch.tensor([[6], [2]])
    y = gp.TopK(3)(x, sizes=sizes)
    assert_close(y[0, 0], x[0, 0].topk(3).values.mean())
    assert_close(y[1, 0], x[1, 0, :2].mean())


def test_infinite_features_do_not_spoil_the_largest() -> None:
    assert gp.TopK(2)(column(1, 3, float("-inf"))).item() == 2


def test_nan_is_not_swallowed() -> None:
    for k in (1, 2, 5):
        x = column(1, float("nan"), 3, 2, 0)
        assert gp.TopK(k)(x).isnan().all()
        assert gp.TopK(k)(x[0].T, ptr=torch.tensor([0, 5])).isnan().all()
        assert gp.TopK(k)(x, mask=torch.tensor([[1.0, 0.0, 1.0, 1.0, 1.0]])).isfinite().all()


def test_the_measure_of_a_neighbour_does_not_matter() -> None:
    x, ptr = torch.tensor([[5.0], [1.0], [9.0], [8.0], [1.0], [0.0]], dtype=torch.float64), torch.tensor([0, 2, 6])
    measure = torch.tensor([1e17, 1e17, 1, 1, 1, 1], dtype=torch.float64)
    assert gp.TopK(2)(x, ptr=ptr, mask=measure)[1].item() == 8.5


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_k_is_a_positive_whole_number(k: Any) -> None:
    with pytest.raises(PoolError, match=re.escape(f"TopK: expected `k` as a whole number of at least 1; got {k}.")):
        gp.TopK(k)
