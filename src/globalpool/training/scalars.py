"""The curve of a run for TensorBoard."""

import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from globalpool.extras import need
from globalpool.training.history import Epoch

#: Fields of ``Epoch`` by the name TensorBoard shows; those before the slash share a row of charts.
TAGS = {
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "validation_accuracy",
    "nll/train": "train_nll",
    "nll/validation": "validation_nll",
    "loss/train": "train_loss",
    "learning_rate": "learning_rate",
}


class Scalars:
    """Points at whole epochs, on disk when ``add`` returns; what was not measured (NaN) has none."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, row: Epoch) -> None:
        """One row of metrics.csv."""
        for tag, name in TAGS.items():
            value = float(getattr(row, name))
            if not math.isnan(value):
                self._writer.add_scalar(tag, value, row.epoch)
        self._writer.flush()


@contextmanager
def scalars(folder: Path, epochs: Sequence[Epoch]) -> Iterator[Scalars]:
    """Event files in ``folder`` that hold ``epochs`` and what is added.

    What an earlier process wrote there is replaced, as metrics.csv is: it may hold an epoch that is done again.
    """
    tensorboard = need("torch.utils.tensorboard", "tensorboard", "train --tensorboard")
    if folder.is_dir():
        shutil.rmtree(folder)
    # The purge tells a TensorBoard that is looking on to forget the points it has read.
    writer = tensorboard.SummaryWriter(folder, purge_step=0)
    try:
        found = Scalars(writer)
        for row in epochs:
            found.add(row)
        yield found
    finally:
        writer.close()
