"""What a step makes small; one objective a file."""

from globalpool.training.objectives.base import Loss, Objective
from globalpool.training.objectives.cross_entropy import BinaryCrossEntropy, CrossEntropy

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "Loss", "Objective"]
