"""Eval mode for a while, given back exactly."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Eval mode for the block; every submodule gets its own mode back, also after an error.

    Modules that are in eval mode already are not touched, so threads may share them.
    """
    training = [part for module in modules for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
