"""Consistency: what the classifier says of a picture without a label must not change with the view."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.data.parts import logits
from globalpool.errors import TrainingError
from globalpool.evidence import evaluating
from globalpool.extras import need
from globalpool.training.kept_statistics import kept_statistics
from globalpool.training.objectives.base import Loss, Objective
from globalpool.training.objectives.cross_entropy import CrossEntropy
from globalpool.training.unlabelled import Unlabelled
from globalpool.training.views import View, strong_view, viewed, weak_view


@dataclass(frozen=True)
class FixMatch:
    """``supervised`` on the labelled batch, plus ``weight`` times a cross-entropy on unlabelled pictures.

    The class that the classifier (in eval mode, without gradient) is sure of by ``threshold`` in a weak view is the
    target of the strong view; pictures below it count zero in the mean. Sohn et al. 2020, equations 3 and 4. Strong
    views do not enter the running statistics of BatchNorms.
    """

    unlabelled: Unlabelled
    threshold: float = 0.95
    weight: float = 1.0
    weak: View = field(default_factory=weak_view)
    strong: View = field(default_factory=strong_view)
    supervised: Objective = field(default_factory=CrossEntropy)

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise TrainingError("FixMatch", "`threshold` as a probability from 0 to below 1", f"{self.threshold}")

    def __call__(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        labelled = self.supervised(classifier, batch, random)
        parts = self.unlabelled(random).to(batch.targets.device).parts
        with torch.no_grad(), evaluating(classifier):
            sure, guess = logits(classifier, viewed(self.weak, parts, random)).softmax(1).max(1)
        with kept_statistics(classifier):
            strong = logits(classifier, self.strong_views(parts, random))
        losses = functional.cross_entropy(strong, guess, reduction="none")
        agreement = (losses * (sure >= self.threshold)).mean()
        return Loss(labelled.value + self.weight * agreement, labelled.logits)

    def strong_views(self, parts: tuple[Tensor, ...], random: torch.Generator) -> tuple[Tensor, ...]:
        """What is trained to agree with the weak views of ``parts``, in their order."""
        return viewed(self.strong, parts, random)


class MeanTeacher(nn.Module):
    """``supervised``, plus a growing weight times ``mean over pictures of sum_k (p_k - q_k)^2`` on unlabelled ones.

    ``p``: the classifier's probabilities for one view; ``q``: for another view those of the teacher, timm's
    exponential moving average of the classifier (``decay``, warmed up), in eval mode and without gradient. The weight
    grows as ``exp(-5 (1 - t)^2)`` over the first ``ramp`` calls. Tarvainen, Valpola 2017.

    The teacher and the number of calls are state, kept in checkpoints; ``teacher.module`` is the averaged classifier.
    """

    calls: Tensor

    def __init__(
        self,
        classifier: PooledClassifier,
        unlabelled: Unlabelled,
        *,
        decay: float = 0.999,
        weight: float = 10.0,
        ramp: int = 500,
        view: View | None = None,
        supervised: Objective | None = None,
    ) -> None:
        super().__init__()
        if not 0 < decay < 1:
            raise TrainingError("MeanTeacher", "`decay` between 0 and 1, as 0.999", f"{decay}")
        average = need("timm.utils", "images", "MeanTeacher").ModelEmaV3
        self.teacher: Any = average(classifier, decay=decay, use_warmup=True).requires_grad_(False)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.unlabelled, self.weight, self.ramp = unlabelled, weight, ramp
        self.view = weak_view() if view is None else view
        self.supervised = CrossEntropy() if supervised is None else supervised

    def train(self, mode: bool = True) -> "MeanTeacher":
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch; the teacher first takes in what the last update made of the classifier."""
        calls = int(self.calls)
        self.teacher.update(classifier, calls)
        self.calls += 1
        labelled = self.supervised(classifier, batch, random)
        parts = self.unlabelled(random).to(batch.targets.device).parts
        with torch.no_grad():
            taught = logits(self.teacher.module, viewed(self.view, parts, random)).softmax(1)
        own = logits(classifier, viewed(self.view, parts, random)).softmax(1)
        apart = (own - taught).square().sum(1).mean()
        return Loss(labelled.value + self.weight * ramp_up(calls, self.ramp) * apart, labelled.logits)


def ramp_up(done: int, steps: int) -> float:
    """``exp(-5 (1 - done / steps)^2)``, from 0.0067 to 1, where it stays."""
    if done >= steps:
        return 1.0
    return float(torch.tensor(-5 * (1 - done / steps) ** 2, dtype=torch.float64).exp())
