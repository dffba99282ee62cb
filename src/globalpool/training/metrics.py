"""What is measured: whole numbers while counting, so that any partition of the samples gives the same sums."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from globalpool.classifier import PooledClassifier
from globalpool.data.parts import logits
from globalpool.evidence import evaluating
from globalpool.training.batches import Batches
from globalpool.training.processes import device_of, summed

#: Losses are summed in these units of a nat: 2^-24 is float32's resolution at one.
UNIT = 2.0**-24


@dataclass(frozen=True)
class Metrics:
    """Of ``samples`` samples; NaN where nothing was counted.

    ``accuracy``: share of samples whose largest logit is their class; for several labels share of right decisions
    (logit above zero), over samples and labels. ``nll``: negative log likelihood in nats, the mean over samples (and
    labels). ``loss``: the objective's own, which smoothing, mixing and penalties set apart from ``nll``.
    """

    samples: int
    accuracy: float
    nll: float
    loss: float = math.nan


class Counts:
    """Sums on the device; read once at the end."""

    NAMES = ("samples", "decisions", "right", "nll", "nll_not_finite", "losses", "loss")

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(len(self.NAMES), dtype=torch.int64, device=device)

    def add_logits(self, scores: Tensor, targets: Tensor) -> None:
        """Samples with their logits ``(N, K)`` and class ids ``(N,)`` or labels ``(N, K)``."""
        scores = scores.detach().double()
        if targets.ndim == 1:
            lost = functional.cross_entropy(scores, targets, reduction="none")
            right = scores.argmax(1) == targets
        else:
            lost = functional.binary_cross_entropy_with_logits(scores, targets.double(), reduction="none")
            right = (scores > 0) == (targets > 0.5)
        finite = lost.isfinite()
        units = (lost.where(finite, 0) / UNIT).round().long().sum()
        counted = torch.tensor([len(scores), lost.numel()], device=self.sums.device)
        self.sums[:5] += torch.cat([counted, torch.stack([right.sum(), units, finite.logical_not().sum()])])

    def add_loss(self, value: Tensor, samples: int) -> None:
        """A mean over so many samples."""
        self.sums[5] += samples
        self.sums[6] += (value.detach().double() * samples / UNIT).round().long()

    def metrics(self) -> Metrics:
        """The means over all processes."""
        numbers = dict(zip(self.NAMES, summed(self.sums).tolist(), strict=True))
        nll = _ratio(numbers["nll"], numbers["decisions"]) * UNIT
        return Metrics(
            samples=max(numbers["samples"], numbers["losses"]),
            accuracy=_ratio(numbers["right"], numbers["decisions"]),
            nll=math.inf if numbers["nll_not_finite"] else nll,
            loss=_ratio(numbers["loss"], numbers["losses"]) * UNIT,
        )


def evaluate(classifier: PooledClassifier, batches: Batches) -> Metrics:
    """In eval mode, without gradients; over all processes where there are several."""
    device = device_of(classifier)
    counts = Counts(device)
    with evaluating(classifier), torch.inference_mode():
        for batch in batches:
            own = batch.to(device)
            counts.add_logits(logits(classifier, own.parts), own.targets)
    return counts.metrics()


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
