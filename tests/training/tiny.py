"""Pictures of two sizes whose class is in their colour, and a network small enough to train in a blink."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.pools import Mean


@dataclass
class Coloured:
    """``count`` pictures in batches of ``size``, each of one side; shuffled by seed and epoch unless ``seed`` is None.

    Of every batch process ``rank`` of ``ranks`` has each ``ranks``-th sample, or (``whole``) each ``ranks``-th batch.
    """

    count: int = 24
    size: int = 6
    seed: int | None = 0
    rank: int = 0
    ranks: int = 1
    whole: bool = False
    epoch: int = field(default=0, init=False)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(range(self.rank, self._batches(), self.ranks)) if self.whole else self._batches()

    def _batches(self) -> int:
        return -(-self.count // self.size)

    def sample(self, index: int) -> tuple[Tensor, int]:
        random = torch.Generator().manual_seed(index)
        side = (8, 12)[index // self.size % 2]
        picture = torch.randn(3, side, side, generator=random)
        picture[index % 3] += 0.4
        return picture, index % 3

    def __iter__(self) -> Iterator[Batch]:
        numbers = np.arange(self._batches())
        if self.seed is not None:
            np.random.default_rng((self.seed, self.epoch)).shuffle(numbers)
        for number in numbers[self.rank :: self.ranks] if self.whole else numbers:
            rows = range(number * self.size, min((number + 1) * self.size, self.count))
            own = list(rows if self.whole else rows[self.rank :: self.ranks])
            pictures, classes = zip(*map(self.sample, own), strict=True)
            yield Batch((torch.stack(pictures),), torch.tensor(classes), torch.tensor(own))


def tiny(seed: int = 0, norm: bool = True, dropout: float = 0.1) -> PooledClassifier:
    """Two convolutions, a norm over the batch or over groups, dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        trunk = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8) if norm else nn.GroupNorm(2, 8),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(8, 6, 3, padding=1),
        )
        return PooledClassifier(trunk, Mean(), nn.Linear(6, 3))
