"""Small inputs for tests of single pools."""

import torch
from torch import Tensor

Y = torch.float64


def column(*values: float) -> Tensor:
    """One sample, one channel, one axis."""
    return torch.tensor([[values]], dtype=Y)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=Y)
