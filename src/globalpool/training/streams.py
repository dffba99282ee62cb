"""Random numbers that depend on the seed, the epoch and the process alone, so that an epoch can be done again."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def begin_epoch(seed: int, epoch: int, process: int) -> torch.Generator:
    """Seeds torch, numpy and ``random`` for one epoch and returns a generator on the CPU for the objective.

    Because every stream starts anew, a checkpoint between epochs has no random state to keep.
    """
    words = np.random.SeedSequence((seed, epoch, process)).generate_state(4)
    torch.manual_seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002 (timm's Mixup draws from the global generator)
    random.seed(int(words[2]))
    return torch.Generator().manual_seed(int(words[3]))


@contextmanager
def given_back() -> Iterator[None]:
    """The caller's global generators are afterwards as they were."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
