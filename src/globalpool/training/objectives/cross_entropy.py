"""Cross-entropy for one class a sample, binary cross-entropy for several labels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.data.parts import logits
from globalpool.errors import DataError
from globalpool.training.objectives.base import Loss


@dataclass(frozen=True)
class CrossEntropy:
    """``-sum_k t_k log softmax(logits)_k``, in nats, mean over samples.

    Targets: class ids ``(N,)`` or shares ``(N, K)`` that sum to one. ``smoothing`` s: the target becomes
    ``(1 - s) t + s / K`` (Szegedy et al. 2016).
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        _check_smoothing("CrossEntropy", self.smoothing)

    def __call__(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        scores = logits(classifier, batch.parts)
        if batch.targets.ndim == 1 and not batch.targets.is_floating_point():
            targets = batch.targets
        else:
            targets = _shares("CrossEntropy", batch.targets, scores)
        return Loss(functional.cross_entropy(scores, targets, label_smoothing=self.smoothing), scores)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """``-t log sigmoid(logit) - (1 - t) log sigmoid(-logit)``, in nats, mean over samples and labels.

    Targets: shares ``(N, K)`` from 0 to 1, each label for itself. ``smoothing`` s: the target becomes
    ``(1 - s) t + s / 2``.
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        _check_smoothing("BinaryCrossEntropy", self.smoothing)

    def __call__(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        scores = logits(classifier, batch.parts)
        targets = _shares("BinaryCrossEntropy", batch.targets, scores)
        targets = (1 - self.smoothing) * targets + self.smoothing / 2
        return Loss(functional.binary_cross_entropy_with_logits(scores, targets), scores)


def _check_smoothing(where: str, smoothing: float) -> None:
    if not 0 <= smoothing < 1:
        raise DataError(where, "`smoothing` from 0 to below 1", f"{smoothing}", "0.1 is usual.")


def _shares(where: str, targets: Tensor, scores: Tensor) -> Tensor:
    if targets.shape != scores.shape:
        got = f"{str(targets.dtype).removeprefix('torch.')} {tuple(targets.shape)}"
        hint = "Class ids (N,) go with CrossEntropy, several labels (N, K) with BinaryCrossEntropy."
        raise DataError(where, f"targets {tuple(scores.shape)}: samples, classes", got, hint)
    return targets.to(torch.promote_types(scores.dtype, torch.float32))  # half precision would round the shares
