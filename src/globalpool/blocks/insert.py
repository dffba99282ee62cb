"""Blocks put into a network that exists: where they go is found by following the data, not by attribute names."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import chain
from typing import Literal

import torch
from torch import nn

from globalpool.blocks.places import find_places
from globalpool.blocks.squeeze_excite import SqueezeExcite
from globalpool.pools import Pool


def insert_se(
    trunk: nn.Module,
    where: Literal["residual", "activation"] | Sequence[str] = "residual",
    *,
    reduction: int = 16,
    minimum: int = 1,
    bias: bool = True,
    squeeze: Callable[[int], Pool] | None = None,
) -> nn.Module:
    """A copy of ``trunk`` with a ``SqueezeExcite`` after each of the modules ``where`` says; ``trunk`` stays as it is.

    ``where``: ``"residual"``, the last module of every residual branch, before its addition (torchvision and timm
    ResNets and whatever adds in the same way: the longer of two ways that part and meet again in a sum);
    ``"activation"``, every activation that follows a convolution or norm (``convnet``, VGG); or names out of
    ``named_modules()``. The first two need a trunk torch.fx can trace.

    Each such module becomes ``nn.Sequential(module, SqueezeExcite(...))``, so its keys in the state dict gain a
    ``.0``, and its hooks see its own output, before the block. Hooks, modes, devices, dtypes and ``requires_grad``
    are kept; new parameters take device and dtype from the convolution or norm they follow and are trainable.
    ``squeeze`` makes the pool for a number of channels. Raises PoolError where a module cannot be given a block.
    """
    places = find_places(trunk, where)
    network = deepcopy(trunk)
    modules = [network.get_submodule(place.name) for place in places]
    for place, module in zip(places, modules, strict=True):
        tensors = chain(place.like.parameters(), place.like.buffers(), network.parameters())
        like = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))
        with like.device:  # made where it stays: on the meta device nothing is made at all
            pool = None if squeeze is None else squeeze(place.channels)
            block = SqueezeExcite(
                place.channels, squeeze=pool, reduction=reduction, minimum=minimum, bias=bias, inplace=place.owned
            )
        block.to(like.device, like.dtype)
        both = nn.Sequential(module, block).train(module.training)
        # Everywhere it is registered: a second name of the module must not lead past the block.
        for parent in list(network.modules()):
            for name, child in list(parent._modules.items()):
                if child is module:
                    parent.add_module(name, both)
    return network
