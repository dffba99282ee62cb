"""Held tails the slow way: each layer as a dense matrix and a constant, one sample at a time, in numpy and float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

Array = np.ndarray[Any, np.dtype[np.float64]]
Line = tuple[Array, Array]


def _hardswish(z: float) -> float:
    return z * min(max(z + 3, 0), 6) / 6


FUNCTIONS: dict[type[nn.Module], tuple[Callable[[float], float], float]] = {
    # act, act'(0)
    nn.ReLU: (lambda z: max(z, 0.0), 0.0),
    nn.GELU: (lambda z: z * 0.5 * (1 + math.erf(z / math.sqrt(2))), 0.5),
    nn.SiLU: (lambda z: z / (1 + math.exp(-z)), 0.5),
    nn.Hardswish: (_hardswish, 0.5),
    nn.Tanh: (math.tanh, 1.0),
    nn.Sigmoid: (lambda z: 1 / (1 + math.exp(-z)), 0.25),
    nn.Hardsigmoid: (lambda z: min(max(z / 6 + 0.5, 0.0), 1.0), 1 / 6),
    nn.Softplus: (lambda z: math.log1p(math.exp(z)) if z < 20 else z, 0.5),
    nn.LogSigmoid: (lambda z: -math.log1p(math.exp(-z)), 0.5),
    nn.Mish: (lambda z: z * math.tanh(math.log1p(math.exp(z))), 0.6),
    nn.ELU: (lambda z: z if z > 0 else 0.7 * math.expm1(z), 0.7),
    nn.CELU: (lambda z: z if z > 0 else math.expm1(z), 1.0),
    nn.SELU: (lambda z: 1.0507009873554805 * (z if z > 0 else 1.6732632423543772 * math.expm1(z)), 1.7580993408473766),
    nn.LeakyReLU: (lambda z: z if z > 0 else 0.2 * z, 0.2),
    nn.ReLU6: (lambda z: min(max(z, 0.0), 6.0), 0.0),
    nn.Softsign: (lambda z: z / (1 + abs(z)), 1.0),
    nn.Softshrink: (lambda z: math.copysign(max(abs(z) - 0.5, 0.0), z), 0.0),
    nn.Hardshrink: (lambda z: z if abs(z) > 0.5 else 0.0, 0.0),
}


def activations() -> list[nn.Module]:
    special = {nn.ELU: nn.ELU(0.7), nn.LeakyReLU: nn.LeakyReLU(0.2)}
    return [special.get(kind) or kind() for kind in FUNCTIONS]


def numbers(tensor: Any, default: float, width: int) -> Array:
    if tensor is None:
        return np.full(width, default)
    return np.asarray(tensor.detach().double().numpy())


def slow_layer(layer: Any, z: Array) -> Line:
    """``(matrix, constant)`` of one layer at one vector."""
    width = z.shape[0]
    if isinstance(layer, nn.Linear | nn.Conv2d):
        weight = layer.weight.detach().double().numpy().reshape(layer.weight.shape[0], -1)
        return weight, numbers(layer.bias, 0.0, weight.shape[0])
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        assert layer.running_var is not None
        scale = numbers(layer.weight, 1, width) / np.sqrt(numbers(layer.running_var, 1, width) + layer.eps)
        return np.diag(scale), numbers(layer.bias, 0, width) - numbers(layer.running_mean, 0, width) * scale
    if isinstance(layer, nn.LayerNorm | nn.GroupNorm):
        groups = layer.num_groups if isinstance(layer, nn.GroupNorm) else 1
        centre, scale, size = np.eye(width), np.ones(width), width // groups
        for first in range(0, width, size):
            own = slice(first, first + size)
            centre[own, own] -= 1 / size
            scale[own] = 1 / math.sqrt(z[own].var() + layer.eps)
        return np.diag(numbers(layer.weight, 1, width) * scale) @ centre, numbers(layer.bias, 0, width)
    if isinstance(layer, nn.RMSNorm):
        eps = np.finfo(np.float64).eps if layer.eps is None else layer.eps
        return np.diag(numbers(layer.weight, 1, width) / math.sqrt((z**2).mean() + eps)), np.zeros(width)
    if type(layer).__name__ == "UnitLength":
        return np.eye(width) / max(math.sqrt((z**2).sum()), layer.eps), np.zeros(width)
    if isinstance(layer, nn.PReLU):
        slope = numbers(layer.weight, 0, width) * np.ones(width)
        return np.diag(np.where(z > 0, 1, slope)), np.zeros(width)
    if type(layer) in FUNCTIONS:
        act, slope_at_zero = FUNCTIONS[type(layer)]
        gates = [slope_at_zero if v == 0 else (act(v) - act(0.0)) / v for v in z.tolist()]
        return np.diag(gates), np.full(width, act(0.0))
    if type(layer).__name__ == "AverageOf":
        lines = [slow_tail(head, z) for head in layer]
        matrix, constant = lines[0]
        for other, shift in lines[1:]:
            matrix, constant = matrix + other, constant + shift
        return matrix / len(lines), constant / len(lines)
    assert isinstance(layer, nn.Dropout | nn.Identity | nn.Flatten | nn.Unflatten)
    return np.eye(width), np.zeros(width)


def slow_tail(tail: Any, z: Array) -> Line:
    """``(matrix (K, F), constant (K,))`` of a whole tail held at one pooled vector."""
    if not isinstance(tail, nn.Sequential):
        return slow_layer(tail, z)
    matrix, constant = np.eye(z.shape[0]), np.zeros(z.shape[0])
    for layer in tail:
        own, shift = slow_tail(layer, matrix @ z + constant)
        matrix, constant = own @ matrix, own @ constant + shift
    return matrix, constant
