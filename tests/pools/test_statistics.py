"""The deviation as a signed weighted sum, plain and under attention."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import globalpool as gp
from globalpool import pools
from globalpool.errors import PoolError
from tests.pools.columns import column, noise
from tests.pools.slow import Column, Sample, rule
from tests.pools.slow import attention as slow_attention


def deviation(weights: list[float], column: Column, eps: float) -> tuple[list[float], float]:
    mean = sum(w * f for w, (_, _, f) in zip(weights, column, strict=True))
    variance = sum(w * (f - mean) ** 2 for w, (_, _, f) in zip(weights, column, strict=True))
    s = math.sqrt(variance + eps)
    return [
        w * (f - mean) / s if s else 0.0 for w, (_, _, f) in zip(weights, column, strict=True)
    ], eps / s if s else 0.0


@rule(pools.Statistics)
def statistics(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    total = sum(m for _, m, _ in column)
    weights = [m / total for _, m, _ in column]
    return deviation(weights, column, pool.eps) if r else (weights, 0.0)


@rule(pools.AttentiveStatistics)
def attentive(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    heads = pool.attention.regions
    weights, _ = slow_attention(pool.attention, column, sample, r % heads, c)
    return deviation(weights, column, pool.eps) if r >= heads else (weights, 0.0)


def test_by_hand() -> None:
    parts = gp.Statistics().decompose(column(1, 7))
    assert parts.value.flatten().tolist() == [4, 3]
    assert parts.weights[0, :, 0].tolist() == [[0.5, 0.5], [-0.5, 0.5]]
    smooth = gp.Statistics(eps=16.0).decompose(column(1, 7))
    assert smooth.value[0, 1].item() == 5
    assert smooth.remainder[0, 1].item() == pytest.approx(16 / 5, rel=1e-15)


def test_the_deviation_is_torchs_and_its_weights_sum_to_zero() -> None:
    x = noise(2, 3, 4, 5)
    parts = gp.Statistics().decompose(x)
    assert_close(parts.value[:, 1], x.flatten(2).std(-1, correction=0))
    assert_close(parts.weights[:, 1].flatten(2).sum(-1), torch.zeros(2, 3, dtype=x.dtype), rtol=0, atol=1e-14)
    assert_close((parts.weights[:, 1] * x).flatten(2).sum(-1), parts.value[:, 1])


@pytest.mark.parametrize("eps", [0.0, 0.25])
@pytest.mark.parametrize("value", [0.1, -1e4, 1e-20])
def test_no_variance_is_no_deviation_to_the_last_bit_and_has_a_finite_gradient(eps: float, value: float) -> None:
    for pool in (gp.Statistics(eps), gp.AttentiveStatistics(1, eps=eps)):
        x = torch.full((2, 1, 7), value, requires_grad=True)
        parts = pool.decompose(x)
        assert (parts.value[:, 1] == math.sqrt(eps)).all()
        assert (parts.weights[:, 1] == 0).all()
        (gradient,) = torch.autograd.grad(parts.value[:, 1].sum(), x, create_graph=True)
        assert (gradient == 0).all()
        (second,) = torch.autograd.grad((gradient * noise(2, 1, 7).float()).sum(), x, allow_unused=True)
        assert second is None or second.isfinite().all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e15, 1e30])
def test_no_square_leaves_the_range_of_float32(scale: float) -> None:
    x = noise(2, 3, 50)
    deviation = gp.Statistics()((x * scale).float())[:, 3:].double()
    assert_close(deviation / scale, gp.Statistics()(x)[:, 3:], rtol=1e-5, atol=0)


def test_eps_does_not_narrow_the_range() -> None:
    x = noise(1, 2, 9)
    got = gp.Statistics(1e-5)((x * 1e20).float())[:, 2:].double() / 1e20
    assert_close(got, gp.Statistics()(x)[:, 2:], rtol=1e-5, atol=0)


def test_a_large_mean_does_not_hide_a_small_deviation() -> None:
    x = (noise(2, 3, 500) + 1e5).float()  # E[x^2] - E[x]^2 would be off by hundreds
    assert_close(gp.Statistics()(x)[:, 3:].double(), gp.Statistics()(x.double())[:, 3:], rtol=1e-5, atol=0)


def test_attentive_statistics_start_as_statistics_and_follow_the_attention() -> None:
    x = noise(2, 3, 4, 5)
    assert_close(gp.AttentiveStatistics(3).double()(x), gp.Statistics()(x))
    pool = gp.AttentiveStatistics(3, heads=2).double()
    assert isinstance(pool.attention.content, nn.Linear)
    nn.init.normal_(pool.attention.content.weight, generator=torch.Generator().manual_seed(0))
    parts, a = pool.decompose(x), pool.attention.decompose(x).weights
    assert_close(parts.value[:, :2], pool.attention.decompose(x).value)
    assert_close(parts.weights[:, 2:].flatten(3).sum(-1), torch.zeros(2, 2, 3, dtype=x.dtype), rtol=0, atol=1e-14)
    mean = (a * x.unsqueeze(1)).flatten(3).sum(-1)
    variance = (a * (x.unsqueeze(1) - mean[..., None, None]).square()).flatten(3).sum(-1)
    assert_close(parts.value[:, 2:], variance.sqrt())
    assert not pool.weights_are_gradient


def test_eps_is_checked() -> None:
    with pytest.raises(PoolError, match="Statistics: expected `eps` as a finite number, 0 or more, in squared feature"):
        gp.Statistics(-1.0)
    with pytest.raises(PoolError, match="AttentiveStatistics: expected `eps` as a finite number"):
        gp.AttentiveStatistics(3, eps=float("nan"))
