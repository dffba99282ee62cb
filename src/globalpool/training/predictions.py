"""What a classifier says of labelled pictures, one row a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from globalpool.classifier import PooledClassifier
from globalpool.data.parts import logits
from globalpool.evidence import evaluating
from globalpool.training.batches import Batches
from globalpool.training.processes import device_of


@dataclass(frozen=True, eq=False)
class Judged:
    """Row ``i`` is sample ``indices[i]``: ``logits (N, K)`` float32, ``targets`` ids ``(N,)`` or labels ``(N, K)``.

    In ascending order of the indices, on the CPU.
    """

    indices: Tensor
    logits: Tensor
    targets: Tensor

    @property
    def multi_label(self) -> bool:
        """Whether logits are judged one by one."""
        return self.targets.ndim == 2

    @property
    def probabilities(self) -> Tensor:
        """``(N, K)`` float64: softmax, or for several labels sigmoid."""
        return self.logits.double().sigmoid() if self.multi_label else self.logits.double().softmax(1)

    @property
    def right(self) -> Tensor:
        """``(N,)``: whether the sample's largest logit is its class, or all its labels are decided rightly."""
        if self.multi_label:
            return ((self.logits > 0) == (self.targets > 0.5)).all(1)
        return self.logits.argmax(1) == self.targets

    @property
    def nll(self) -> Tensor:
        """``(N,)`` float64, in nats."""
        scores = self.logits.double()
        if self.multi_label:
            return functional.binary_cross_entropy_with_logits(scores, self.targets.double(), reduction="none").mean(1)
        return functional.cross_entropy(scores, self.targets, reduction="none")

    def confusion(self) -> list[list[int]]:
        """Rows: true classes; columns: predicted ones; counts. Of single-label samples."""
        count = self.logits.shape[1]
        cells = torch.bincount(self.targets * count + self.logits.argmax(1), minlength=count * count)
        table: list[list[int]] = cells.reshape(count, count).tolist()
        return table


def judge(classifier: PooledClassifier, batches: Batches) -> Judged:
    """In eval mode and float32, on this process alone."""
    device = device_of(classifier)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    with evaluating(classifier), torch.inference_mode():
        for batch in batches:
            scores = logits(classifier, batch.to(device).parts)
            found.append((batch.indices, scores.float().cpu(), batch.targets))
    indices, scores, targets = (torch.cat(column) for column in zip(*found, strict=True))
    order = indices.argsort()
    return Judged(indices[order], scores[order], targets[order])


@dataclass(frozen=True)
class Share:
    """``right`` of ``count``, with the 95 % interval of Wilson (1927), which stays within 0 and 1."""

    right: int
    count: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself; NaN of none."""
        return self.right / self.count if self.count else math.nan


def share(right: Sequence[bool] | Tensor) -> Share:
    """How many are right, and between which shares the true one lies."""
    count, hits = len(right), int(sum(bool(entry) for entry in right))
    if not count:
        return Share(0, 0, math.nan, math.nan)
    z, p = 1.959964, hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    # With none or all of them right the interval ends at 0 or 1, which rounding would miss by a last bit.
    low, high = (0.0 if not hits else middle - half), (1.0 if hits == count else middle + half)
    return Share(hits, count, low, high)
