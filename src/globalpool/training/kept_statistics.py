"""Training on pictures that the running statistics should not hear of."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def kept_statistics(module: nn.Module) -> Iterator[None]:
    """BatchNorms in train mode go by their batch, and leave their running statistics as they are.

    For distorted pictures: nobody asks about such ones later, and eval mode would go by statistics of a mixture that no
    batch ever had.
    """
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
