"""Training: one loop, its objectives, checkpoints and the folder a run leaves."""

from globalpool.training.batches import Batches
from globalpool.training.objectives import BinaryCrossEntropy, CrossEntropy, Loss, Objective

__all__ = ["Batches", "BinaryCrossEntropy", "CrossEntropy", "Loss", "Objective"]
