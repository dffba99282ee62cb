"""Training at several resolutions, one a step."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.training.objectives.base import Loss, Objective
from globalpool.training.objectives.cross_entropy import CrossEntropy
from globalpool.training.resize import check_sides, resized


class MultiResolution(nn.Module):
    """``then`` on the batch at a resolution drawn from ``sides`` by the seed and the number of the step alone.

    A side of 128 makes of every picture one of 128 x 128 pixels' area, in its own proportions. Processes that train
    together draw the same side, so none waits for another. ``step`` is state, kept in checkpoints. One classifier for
    several resolutions pools with something that does not grow with the map, Mean for instance.
    """

    step: Tensor

    def __init__(self, sides: Sequence[int], *, seed: int = 0, then: Objective | None = None) -> None:
        super().__init__()
        self.sides, self.seed = check_sides("MultiResolution", sides), seed
        self.then = CrossEntropy() if then is None else then
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def side(self, step: int) -> int:
        """The side of one step, each of ``sides`` as likely as another."""
        return self.sides[int(np.random.default_rng((self.seed, step)).integers(len(self.sides)))]

    def forward(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        side = self.side(int(self.step))
        self.step += 1
        return self.then(classifier, replace(batch, parts=tuple(resized(part, side) for part in batch.parts)), random)
