"""Heads fitted the slow way: all vectors stacked, in numpy and scikit-learn, sharing no code with the library."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import Ridge
from torch import Tensor, nn

import globalpool as gp

Array = npt.NDArray[np.float64]
Batches = list[tuple[Any, ...]]


def classifier(features: int, outputs: int, *, bias: bool = True) -> gp.PooledClassifier:
    """Mean and a linear layer in float64 on features as they are."""
    return gp.PooledClassifier(nn.Identity(), gp.Mean(), nn.Linear(features, outputs, bias=bias)).double()


def samples(count: int, features: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Maps ``(N, F, 3, 2)`` that tell a little about their class, and ids that name every class."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % classes
    y = y[torch.randperm(count, generator=generator)]
    centres = torch.randn(classes, features, generator=generator, dtype=torch.float64)
    x = torch.randn(count, features, 3, 2, generator=generator, dtype=torch.float64)
    return 2 * x + centres[y][:, :, None, None], y


def ill_conditioned(x: Tensor, constant: float) -> Tensor:
    """The same maps with channels of sizes 1e-3 to 1e3, large constants on the small ones, two nearly equal."""
    scale = torch.logspace(-3, 3, x.shape[1], dtype=torch.float64)
    x = x * scale[:, None, None] + constant * scale.flip(0)[:, None, None]
    x[:, 1] = x[:, 0] + 1e-6 * x[:, 1]
    return x


def in_batches(x: Tensor, y: Tensor, size: int) -> Batches:
    return list(zip(x.split(size), y.split(size), strict=True))


def stacked(x: Tensor) -> Array:
    """The vectors the linear layer sees under a mean, one loop a position."""
    rows, columns = x.shape[2:]
    total = torch.zeros(x.shape[:2], dtype=torch.float64)
    for row in range(rows):
        for column in range(columns):
            total += x[:, :, row, column]
    return np.asarray(total / (rows * columns))


def one_hot(y: Tensor, classes: int) -> Array:
    rows: Array = np.eye(classes)[y.numpy()]
    return rows


def ridge(x: Array, y: Array, strength: float, *, bias: bool = True) -> tuple[Array, Array]:
    """Weight ``(K, F)`` and bias ``(K,)`` by singular values, which are accurate for ill-conditioned vectors."""
    fit = Ridge(alpha=strength, solver="svd", fit_intercept=bias).fit(x, y)
    weight = np.reshape(fit.coef_, (y.shape[1], x.shape[1]))
    return weight, np.broadcast_to(fit.intercept_, y.shape[1])


def left_out(x: Array, y: Array, strength: float, *, bias: bool = True) -> Array:
    """Predictions ``(N, K)`` for each sample by a fit to all others: N fits."""
    predictions = np.empty_like(y)
    for sample in range(len(x)):
        others = np.arange(len(x)) != sample
        weight, intercept = ridge(x[others], y[others], strength, bias=bias)
        predictions[sample] = weight @ x[sample] + intercept
    return predictions


def layer_of(model: gp.PooledClassifier) -> tuple[Array, Array]:
    layer = model.tail
    assert isinstance(layer, nn.Linear)
    bias = np.zeros(layer.out_features) if layer.bias is None else layer.bias.detach().numpy()
    return layer.weight.detach().numpy().copy(), bias.copy()


def distance(a: Array, b: Array) -> float:
    """The largest difference relative to the largest entry."""
    return float(np.abs(a - b).max() / np.abs(b).max())
