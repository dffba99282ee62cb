"""A block with random weights, and features for it."""

from typing import Any

import torch
from torch import Tensor

from globalpool.blocks import SqueezeExcite


def block_for(channels: int = 6, **settings: Any) -> SqueezeExcite:
    """A float64 block of hidden width 3 whose four tensors are all random."""
    block = SqueezeExcite(channels, **{"reduction": 2, **settings}).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return block


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
