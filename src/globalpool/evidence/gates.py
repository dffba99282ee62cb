"""Activations as the factor they applied: ``act(z) = act(0) + gate(z) z``, with ``gate(0) = act'(0)``."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LOG_TWO = math.log(2.0)


@dataclass(frozen=True)
class Activation:
    """An elementwise function: ``rise(z) = act(z) - act(0)`` without cancellation, ``start = act(0)``, ``slope``.

    ``rise`` None: act(0) = 0, and the function itself is its rise. ``slope`` is act'(0) as torch's autograd has it.
    """

    slope: float
    start: float = 0.0
    rise: Callable[[Tensor], Tensor] | None = None


def _softplus_rise(z: Tensor) -> Tensor:
    """``log((1 + e^z) / 2)``: stable on both sides."""
    return torch.where(z > 1, functional.softplus(z) - LOG_TWO, torch.log1p(torch.expm1(z.clamp(max=1)) / 2))


#: By the name of the function in torch (and of the operator in ATen).
ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(0.0),
    "relu6": Activation(0.0),
    "leaky_relu": Activation(1.0),  # replaced by its negative_slope
    "gelu": Activation(0.5),
    "silu": Activation(0.5),
    "mish": Activation(0.6),
    "hardswish": Activation(0.5),
    "tanh": Activation(1.0),
    "elu": Activation(1.0),
    "selu": Activation(1.0507009873554805 * 1.6732632423543772),
    "celu": Activation(1.0),
    "softsign": Activation(1.0),
    "erf": Activation(2 / math.sqrt(math.pi)),
    "hardshrink": Activation(0.0),
    "softshrink": Activation(0.0),
    "sigmoid": Activation(0.25, 0.5, lambda z: torch.tanh(z / 2) / 2),
    "hardsigmoid": Activation(1 / 6, 0.5, lambda z: (z / 6).clamp(-0.5, 0.5)),
    "softplus": Activation(0.5, LOG_TWO, _softplus_rise),
    "log_sigmoid": Activation(0.5, -LOG_TWO, lambda z: -_softplus_rise(-z)),
}

#: Modules that are one of them; those with settings of their own are told apart in ``activation_of``.
MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.LeakyReLU: "leaky_relu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Mish: "mish",
    nn.Hardswish: "hardswish",
    nn.Tanh: "tanh",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.CELU: "celu",
    nn.Softsign: "softsign",
    nn.Hardshrink: "hardshrink",
    nn.Softshrink: "softshrink",
    nn.Sigmoid: "sigmoid",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Softplus: "softplus",
    nn.LogSigmoid: "log_sigmoid",
}


def activation_of(module: nn.Module) -> Activation | None:
    """What is known about an activation module that runs torch's own forward; None for any other module."""
    name = next((name for kind, name in MODULES.items() if _is(module, kind)), None)
    if name is None:
        return None
    settings: Any = module
    if name == "leaky_relu":
        return Activation(settings.negative_slope)
    if name == "elu":
        return Activation(settings.alpha)
    if name == "softplus" and (settings.beta, settings.threshold) != (1.0, 20.0):
        return None
    return ACTIVATIONS[name]


def gate(activation: Activation, z: Tensor, value: Tensor) -> Tensor:
    """``(act(z) - act(0)) / z``, and act'(0) where z is 0; ``value = act(z)``."""
    rise = value if activation.rise is None else activation.rise(z)
    zero = z == 0
    return torch.where(zero, activation.slope, rise / torch.where(zero, 1, z))


def _is(module: nn.Module, kind: type[nn.Module]) -> bool:
    return isinstance(module, kind) and type(module).forward is kind.forward
