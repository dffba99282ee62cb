"""An objective that writes down what it is given."""

from typing import Any

import torch
from torch import Tensor

import globalpool as gp
from globalpool.data.batch import Batch
from globalpool.training.objectives import CrossEntropy, Loss


class Recorder:
    """Cross-entropy that keeps classifier and batch of its last call."""

    batch: Batch
    classifier: gp.PooledClassifier

    def __call__(self, classifier: gp.PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        self.classifier, self.batch = classifier, batch
        return CrossEntropy()(classifier, batch, random)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(parts: tuple[Tensor, ...], classes: int = 4, seed: int = 1) -> Batch:
    total = sum(len(part) for part in parts)
    return Batch(parts, torch.randint(0, classes, (total,), generator=generator(seed)), torch.arange(total))


def small(pool: gp.Pool | None = None, dtype: torch.dtype = torch.float32, **arguments: Any) -> gp.PooledClassifier:
    """A convnet of random weights in eval mode; batch norms with statistics of their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        classifier = gp.models.convnet(2, num_classes=4, widths=(6, 8), pool=pool, **arguments)
        classifier(torch.randn(16, 3, 12, 12))
    return classifier.eval().to(dtype)
