"""Networks for the tests of insertion, and what is asked about them."""

from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from globalpool.blocks import SqueezeExcite


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def torchvision_resnet(depth: int) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = getattr(torchvision.models, f"resnet{depth}")()
    return network


def timm_model(name: str, **settings: Any) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = timm.create_model(name, **settings)
    return network


def blocks_of(network: nn.Module) -> dict[str, SqueezeExcite]:
    return {name: module for name, module in network.named_modules() if isinstance(module, SqueezeExcite)}


def set_gates(network: nn.Module, logit: float) -> None:
    """Every gate to sigmoid(logit), whatever the input."""
    for block in blocks_of(network).values():
        nn.init.zeros_(block.expand.weight)
        nn.init.constant_(block.expand.bias, logit)


def small_resnet() -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=5)
    network(torch.randn(4, 3, 64, 64))  # moves the running statistics
    network.eval()
    return network


def first_gradient(network: nn.Module, x: Tensor) -> Tensor:
    return torch.autograd.grad(network(x).sum(), next(network.parameters()))[0]
