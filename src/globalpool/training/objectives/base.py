"""What an objective is: a classifier and a batch in, one number to make small out."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch


@dataclass(frozen=True, eq=False)
class Loss:
    """``value``: a scalar with a gradient, the MEAN over the batch's samples.

    ``logits (N, K)``: those of the batch's own samples in their order, where the objective computed them; the loop
    counts training accuracy from them. None where it saw mixed or other inputs only.
    """

    value: Tensor
    logits: Tensor | None = None


class Objective(Protocol):
    """Called once a batch, the classifier in train mode; all that is random is drawn from ``random``, on the CPU.

    The loop seeds ``random``, and the global generators, from the run's seed, the epoch and the process, so that an
    epoch can be done again bit for bit. An objective that is an ``nn.Module`` has its parameters trained and its state
    kept in checkpoints beside the classifier's.
    """

    def __call__(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        ...
