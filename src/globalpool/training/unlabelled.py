"""Pictures without labels, a batch at every call."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from globalpool.data.batch import Batch
from globalpool.errors import DataError, TrainingError
from globalpool.training.batches import Batches


class Unlabelled(Protocol):
    """Where an objective gets its unlabelled pictures; nobody reads their targets.

    What comes is decided by the generator, which the loop makes anew for each epoch: so an epoch can be done again.
    """

    def __call__(self, random: torch.Generator) -> Batch:
        """The next batch."""
        ...


class UnlabelledPictures:
    """``count`` pictures a call, each at most once, drawn from tensors in memory.

    ``parts``: ``(n, C, *size)``, one size each. ``indices`` number the pictures through all parts; targets are -1.
    """

    def __init__(self, parts: Sequence[Tensor], count: int) -> None:
        self.parts, self.total = tuple(parts), sum(len(part) for part in parts)
        if not 1 <= count <= self.total:
            raise DataError("UnlabelledPictures", f"`count` from 1 to the {self.total} pictures given", str(count))
        self.count = count

    def __call__(self, random: torch.Generator) -> Batch:
        """The next batch."""
        rows = torch.randperm(self.total, generator=random)[: self.count]
        chosen, indices, begin = [], [], 0
        for part in self.parts:
            own = rows[(rows >= begin) & (rows < begin + len(part))]
            if len(own):
                chosen.append(part[own - begin])
                indices.append(own)
            begin += len(part)
        return Batch(tuple(chosen), torch.full((self.count,), -1), torch.cat(indices))


class UnlabelledBatches:
    """The batches of a loader, epoch after epoch of its own, in an order drawn from the generator.

    A new generator, as the loop makes one for each of its epochs, begins with a new order.
    """

    def __init__(self, batches: Batches) -> None:
        if not len(batches):
            raise TrainingError("UnlabelledBatches", "at least one batch", "none", "Give more pictures.")
        self.batches = batches
        self._rest: Iterator[Batch] = iter(())
        self._seed: int | None = None

    def __call__(self, random: torch.Generator) -> Batch:
        """The next batch."""
        following = next(self._rest, None) if self._seed == random.initial_seed() else None
        if following is None:
            self.batches.set_epoch(int(torch.randint(2**31, (), generator=random)))
            self._rest, self._seed = iter(self.batches), random.initial_seed()
            following = next(self._rest)
        return following
