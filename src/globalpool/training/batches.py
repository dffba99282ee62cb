"""What the loop needs of its data."""

from collections.abc import Iterator
from typing import Protocol

from globalpool.data.batch import Batch


class Batches(Protocol):
    """The same samples again and again; their order depends on a seed and the epoch alone.

    With several processes each holds its own share, and all shares have equally many batches.
    """

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the present epoch."""
        ...

    def __len__(self) -> int:
        """How many there are, the same in every epoch."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        ...
