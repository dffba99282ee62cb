"""All chance of a training step from one torch generator, also where a library draws from a global one."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def _seed(random: torch.Generator, below: int) -> int:
    return int(torch.randint(below, (), generator=random, device=random.device))


def numpy_random(random: torch.Generator) -> np.random.Generator:
    """A numpy generator that one draw from ``random`` starts: torch has no beta distribution with a generator."""
    return np.random.default_rng(_seed(random, 2**63 - 1))


@contextmanager
def global_numpy(random: torch.Generator) -> Iterator[None]:
    """Numpy's global state, started by one draw from ``random`` for the block and then given back.

    For timm's Mixup, which draws from it. Not for several threads at once: they would share that state.
    """
    before = np.random.get_state()  # noqa: NPY002 (it is the legacy state that timm reads)
    np.random.seed(_seed(random, 2**32))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


@contextmanager
def global_torch(random: torch.Generator) -> Iterator[None]:
    """Torch's global state on the CPU, started by one draw from ``random`` for the block and then given back.

    For torchvision's transforms, which draw from it.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(_seed(random, 2**63 - 1))
    try:
        yield
    finally:
        torch.set_rng_state(before)
