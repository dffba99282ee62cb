"""The rows of a run's curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from globalpool.training.metrics import Metrics


@dataclass(frozen=True)
class Epoch:
    """One row of metrics.csv; ``epoch`` counts from 1, ``updates`` from the beginning, at its end.

    ``learning_rate``: of its last update. Training figures are means over the epoch, in train mode, while the weights
    moved; NaN where the objective showed no logits. ``validation``: the weights at its end (their average, where one
    is kept), in eval mode.
    """

    epoch: int
    updates: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    train_nll: float
    validation_accuracy: float
    validation_nll: float


@dataclass(frozen=True)
class TrainingResult:
    """``best``: the number (from 1) of the epoch whose weights the classifier has now.

    ``epochs``: those of the whole run, resumed or not; ``seconds``: spent on them, what was lost by a kill left out.
    """

    epochs: tuple[Epoch, ...]
    best: int
    seconds: float


def row(number: int, updates: int, learning_rate: float, train: Metrics, validation: Metrics | None) -> Epoch:
    """The row of one epoch."""
    judged = Metrics(0, math.nan, math.nan) if validation is None else validation
    return Epoch(
        number,
        updates,
        learning_rate,
        train.loss,
        train.accuracy,
        train.nll,
        judged.accuracy,
        judged.nll,
    )


def best(epochs: Sequence[Epoch]) -> int:
    """The epoch with the highest validation accuracy, of those the lowest NLL, of those the first; else the last."""
    judged = [entry for entry in epochs if not math.isnan(entry.validation_accuracy)]
    if not judged:
        return epochs[-1].epoch
    return min(judged, key=lambda entry: (-entry.validation_accuracy, entry.validation_nll, entry.epoch)).epoch
