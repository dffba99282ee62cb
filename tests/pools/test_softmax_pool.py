"""SoftmaxPool: between the mean and the maximum, with weights that are not the gradient."""

import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import globalpool as gp
from globalpool import pools
from tests.pools.columns import column, noise
from tests.pools.slow import Column, Sample, number, rule, softmax


@rule(pools.SoftmaxPool)
def softmax_pool(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    return softmax([f for _, _, f in column], column, number(pool.temperature, c)), 0.0


def test_by_hand() -> None:
    assert gp.SoftmaxPool()(column(0, math.log(3))).item() == pytest.approx(0.75 * math.log(3), rel=1e-15)
    assert gp.SoftmaxPool(0.5)(column(0, math.log(3))).item() == pytest.approx(0.9 * math.log(3), rel=1e-15)


def test_limits() -> None:
    x = noise(2, 3, 4, 5)
    assert_close(gp.SoftmaxPool(1e9)(x), gp.Mean()(x), rtol=0, atol=1e-8)
    assert_close(gp.SoftmaxPool(1e-9)(x), gp.Max()(x))


def test_the_weights_are_those_of_log_mean_exp_but_not_the_gradient() -> None:
    x = noise(2, 3, 7).requires_grad_()
    weights = gp.SoftmaxPool(0.5).decompose(x).weights
    assert_close(weights, gp.LogMeanExp(2.0).decompose(x).weights)
    (gradient,) = torch.autograd.grad(gp.SoftmaxPool(0.5)(x).sum(), x)
    # dy/dx[p] = a[p] (1 + (x[p] - y) / t)
    y = (weights[:, 0] * x).sum(-1, keepdim=True)
    assert_close(gradient, weights[:, 0] * (1 + (x - y) / 0.5))
    assert (gradient - weights[:, 0]).abs().max() > 0.01
