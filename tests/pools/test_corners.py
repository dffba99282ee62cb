"""Corners where a pool once lost digits, gradients or meaning."""

import re
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import PoolError


def test_max_is_the_maximum_to_the_last_bit() -> None:
    for ties in range(1, 200):
        x = torch.full((1, 1, ties), 0.1)
        for features in (x, x.clone().requires_grad_()):
            assert gp.Max()(features).item() == torch.tensor(0.1).item()
    x = torch.tensor([[[1.0, float("-inf"), 0.0]]], requires_grad=True)
    y = gp.Max()(x)
    y.sum().backward()
    assert y.item() == 1
    assert x.grad is not None
    assert x.grad.tolist() == [[[1, 0, 0]]]
    assert gp.Max()(torch.tensor([[[1.0, float("inf")]]])).item() == float("inf")


@pytest.mark.parametrize("offset", [1e3, 1e4])
def test_log_mean_exp_keeps_its_weights_far_from_zero(offset: float) -> None:
    x = torch.rand(1, 1, 20, generator=torch.Generator().manual_seed(0)) + offset
    weights, exact = gp.LogMeanExp(10.0).decompose(x).weights, gp.LogMeanExp(10.0).decompose(x.double()).weights
    assert_close(weights.double(), exact, rtol=1e-6, atol=0)


def test_log_mean_exp_with_a_learned_rate_in_half_precision() -> None:
    for rate in (1.0039, 1.2, 2.01):
        for dtype in (torch.bfloat16, torch.float16):
            x = torch.full((1, 1, 4), 100.0, dtype=dtype)
            assert gp.LogMeanExp(gp.Learned(rate))(x).item() == 100


@pytest.mark.parametrize("r", [1e-30, 1e-6, 1e6, 1e30])
def test_log_mean_exp_at_the_ends_of_its_range(r: float) -> None:
    x = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for sign, limit in ((1, gp.Max()), (-1, gp.Max())):
        y = gp.LogMeanExp(sign * r)(x)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert gradient.isfinite().all()
        expected = gp.Mean()(x) if r < 1 else sign * limit(sign * x)
        assert_close(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("p", [1e-10, 1e-4, 1e-2, 1.0, 30.0, 1e4])
def test_gem_keeps_its_digits(p: float) -> None:
    x = torch.rand(2, 3, 500, generator=torch.Generator().manual_seed(0)) * 3
    got, exact = gp.GeM(p).decompose(x), gp.GeM(p).decompose(x.double())
    assert_close(got.value.double(), exact.value, rtol=2e-5, atol=0)
    total = (got.weights * x.unsqueeze(1)).sum(-1) + got.remainder
    assert_close(total, got.value, rtol=2e-4, atol=0)
    assert_close(gp.GeM(1e-12)(x.double()), x.double().log().mean(2).exp(), rtol=1e-9, atol=0)


def test_long_ragged_sums_of_half_features_do_not_stall() -> None:
    x = torch.full((1_000_000, 1), 0.1).half()
    assert gp.Mean()(x, ptr=torch.tensor([0, 1_000_000])).item() == x[0].item()


def test_autocast_does_not_weaken_sums() -> None:
    x = torch.full((1, 8, 64, 64), 1.003)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for pool in (gp.Mean(), gp.Attention(8), gp.Grid(1, 1), gp.GeM(1.0)):
            assert_close(pool(x), torch.full((1, 8), 1.003), rtol=5e-6, atol=0)
            evidence = gp.PooledHead(pool, 8, 5).evidence(x, "all").check()
            assert evidence.maps.dtype == torch.float32
            plain = gp.PooledHead(pool, 8, 5)
            inside = plain.evidence(x, "all").maps
            with torch.autocast("cpu", enabled=False):
                assert_close(inside, plain.evidence(x, "all").maps, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("temperature", [1e-15, 1e-5, 1e5])
def test_learned_temperatures_have_finite_gradients(temperature: float) -> None:
    pool = gp.Attention(3, temperature=gp.Learned(temperature))
    assert isinstance(pool.content, nn.Linear)
    nn.init.normal_(pool.content.weight, generator=torch.Generator().manual_seed(0))
    pool(torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))).sum().backward()
    for parameter in pool.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_a_temperature_for_each_head() -> None:
    x = torch.randn(2, 3, 5, 2, generator=torch.Generator().manual_seed(0))
    pool = gp.Attention(3, heads=2, temperature=gp.Learned(1.0, channels=2))
    assert isinstance(pool.content, nn.Linear)
    assert isinstance(pool.temperature, gp.Learned)
    nn.init.normal_(pool.content.weight, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        pool.temperature.log.copy_(torch.tensor([0.5, 4.0]).log())
    for head, temperature in enumerate((0.5, 4.0)):
        scores = torch.einsum("c,ncp->np", pool.content.weight[head], x.flatten(2))
        expected = (scores / temperature).softmax(1)
        assert_close(pool.decompose(x).weights[:, head, 0].flatten(1), expected)


NOT_POOLS: list[Any] = [nn.AdaptiveAvgPool2d(1), gp.Mean]
WRONG: list[tuple[Any, str]] = [
    (
        lambda: gp.GeM(gp.Learned(3.0, channels=2))(torch.rand(1, 3, 4)),
        "GeM: expected one learned number, or 3 of them; got 2.",
    ),
    (
        lambda: gp.Attention(3, heads=2, temperature=gp.Learned(1.0, channels=4))(torch.rand(1, 3, 4, 4)),
        "Attention: expected one learned number, or 2 of them; got 4.",
    ),
    (
        lambda: gp.Attention(64)(torch.rand(2, 197, 64)),
        "Attention: expected 64 channels; got 197. Build it with the channels of the features; channels last needs",
    ),
    (lambda: gp.ScaledSum(nn.Parameter(torch.ones(3))), "ScaledSum: expected `gamma` as a finite number, a Parameter"),
    (lambda: gp.ScaledSum(float("nan")), "ScaledSum: expected `gamma` as a finite number"),
    (
        lambda: gp.PooledHead(NOT_POOLS[0], 3, 2),
        "PooledHead: expected `pool` to be an instance of globalpool.Pool; got AdaptiveAvgPool2d. Write globalpool.",
    ),
    (lambda: gp.PooledHead(NOT_POOLS[1], 3, 2), "an instance of globalpool.Pool; got the class Mean."),
]


@pytest.mark.parametrize(("build", "message"), WRONG, ids=[case[1][:30] for case in WRONG])
def test_numbers_on_the_wrong_axis_and_pools_that_are_none_are_refused(build: Any, message: str) -> None:
    with pytest.raises(PoolError, match=re.escape(message)):
        build()


def test_a_learned_gamma() -> None:
    x = torch.rand(1, 2, 4)
    assert_close(gp.ScaledSum(gp.Learned(0.5))(x), gp.ScaledSum(0.5)(x))
