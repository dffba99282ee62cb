"""Three clients of one colour task: pictures of 8, 12 and 16 pixels a side, and numbers of samples of their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.pools import Mean, Pool

SIDES, COUNTS = (8, 12, 16), (9, 6, 15)


def pictures(side: int, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise with more of the class's colour; every class in turn."""
    random = torch.Generator().manual_seed(1000 * side + seed)
    x, y = torch.randn(count, 3, side, side, generator=random), torch.arange(count) % 3
    x[torch.arange(count), y] += 0.5
    return x, y


@dataclass
class Client:
    """One batch a pass, all of the client's samples."""

    side: int
    count: int

    def set_epoch(self, epoch: int) -> None:
        """One order."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Batch]:
        x, y = pictures(self.side, self.count)
        yield Batch((x,), y, torch.arange(self.count))


CLIENTS = tuple(Client(side, count) for side, count in zip(SIDES, COUNTS, strict=True))


def network(
    pool: Pool | None = None, norm: bool = False, padding_mode: Literal["zeros", "circular"] = "zeros"
) -> PooledClassifier:
    """Two convolutions of different strides; without a norm, all of it is one function of each sample."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trunk = nn.Sequential(
            nn.Conv2d(3, 5, 3, padding=1, padding_mode=padding_mode),
            nn.BatchNorm2d(5) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(5, 6, 3, padding=1, stride=2, padding_mode=padding_mode),
        )
        return PooledClassifier(trunk, Mean() if pool is None else pool, nn.Linear(6, 3))
