"""How well each strength predicts samples, added up batch by batch."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from globalpool.errors import DataError
from globalpool.surgery.batches import PooledBatch


class Score:
    """Error and hits of one ``strength``: ``error`` is summed over samples, squared error or log loss (natural)."""

    def __init__(self, strength: float) -> None:
        self.strength, self.count, self.labelled = strength, 0, 0
        self.error, self.hits = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.long)

    def add(self, predictions: Tensor, errors: Tensor, batch: PooledBatch) -> None:
        """One batch: ``predictions (B, K)``, ``errors`` of any shape."""
        self.count += predictions.shape[0]
        self.error = self.error.to(errors.device) + errors.sum()
        if batch.classes is not None:
            self.labelled += predictions.shape[0]
            self.hits = self.hits.to(errors.device) + (predictions.argmax(1) == batch.classes).sum()

    def add_squares(self, predictions: Tensor, batch: PooledBatch) -> None:
        """One batch, scored by squared error."""
        self.add(predictions, (predictions - batch.targets).square(), batch)

    def add_log_loss(self, predictions: Tensor, batch: PooledBatch) -> None:
        """One batch of class ids, scored by the negative logarithm of the true class's softmax."""
        self.add(predictions, -(predictions.log_softmax(1) * batch.targets).sum(1), batch)

    @property
    def mean_error(self) -> float:
        """A sample's error, summed over outputs."""
        return float(self.error) / self.count

    @property
    def accuracy(self) -> float | None:
        """The share of samples whose largest output is the true class; None without class ids."""
        return int(self.hits) / self.count if self.labelled == self.count else None


def best(scores: Sequence[Score]) -> int:
    """The place of the smallest finite error; the stronger of equals."""
    errors = [score.mean_error for score in scores]
    finite = [error for error in errors if math.isfinite(error)]
    if not finite:
        raise DataError("fit_head", "a strength with a finite held-out error", f"{errors}", "Give larger strengths.")
    return max(place for place, error in enumerate(errors) if error == min(finite))
