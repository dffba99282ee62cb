"""A pool and one linear layer behind the trunk of any network."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.pools import Mean, Pool
from globalpool.surgery import AdoptedClassifier, replace_head


def with_new_head(
    module: nn.Module, pool: Callable[[int], Pool], num_classes: int, trained: int, size: int
) -> PooledClassifier:
    """Trunk of ``module``, ``pool(channels)`` and a linear layer, in eval mode; the trunk's parameters are shared.

    The network is taken apart at the side it was ``trained`` at where that is larger than ``size``, which the pool gets
    in the end: on a smaller input the last map may be a single position, and the pool would be found further in front.
    """
    if isinstance(module, PooledClassifier) and not isinstance(module, AdoptedClassifier):
        trunk = module.trunk
    else:
        trunk = replace_head(module, Mean(), num_classes, example_input(max(trained, size))).trunk
    with torch.no_grad():
        features = trunk(example_input(size))
    chosen = pool(features.shape[1])
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        width = chosen(features).shape[1]
        tail = nn.Linear(width, num_classes)
    return PooledClassifier(trunk, chosen, tail).eval()


def kept(base: nn.Module, trunk: nn.Module) -> dict[str, Tensor]:
    """The entries of ``base``'s state dict that its ``trunk`` uses, under the names they have in ``base``."""
    used = {tensor.data_ptr() for tensor in trunk.state_dict().values()}
    return {name: tensor for name, tensor in base.state_dict().items() if tensor.data_ptr() in used}


def example_input(size: int) -> Tensor:
    """Two inputs of noise ``(2, 3, size, size)``, the same at every call."""
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
