"""The evidence that audits look at: for a sample's first class over its second, which no common vector changes."""

from typing import Any

import torch
from torch import Tensor

from globalpool.audits.opened import Opened
from globalpool.classifier import PooledClassifier
from globalpool.evidence import Evidence


def deciding(classifier: PooledClassifier, x: Any, classes: Tensor | None = None) -> Evidence:
    """Evidence of one sample, K' = 1: its top class over the runner-up, or over a given one; raw for a single class.

    ``classes (1, 2)``: the two classes, where they are known.
    """
    with torch.no_grad():
        if classes is not None:
            found: Evidence = classifier.evidence(x, classes=classes)
        else:
            found = classifier.evidence(x, classes="top1")
            if found.num_classes < 2:
                return found
            found = classifier.evidence(x, classes="top2")
        return found.contrast(found.classes[:, 0], found.classes[:, 1])


def values(evidence: Evidence) -> Tensor:
    """The evidence of every position ``(P,)`` of one sample, row-major, absent ones too (they hold 0)."""
    maps = evidence.maps.detach()
    return (maps[0, 0].flatten() if maps.ndim > 2 else maps[:, 0]).double()


def difference(logits: Tensor, evidence: Evidence) -> Tensor:
    """What ``evidence`` sums to, of logits ``(N, K)``: first class minus second, or the one logit; ``(N,)``."""
    first = int(evidence.classes[0, 0])
    if evidence.against is None:
        return logits[:, first].double()
    return logits[:, first].double() - logits[:, int(evidence.against[0])].double()


def without(at: Opened, gone: Tensor) -> Tensor:
    """Logits ``(1, K)`` of one sample's map with zeros where ``gone (P,)`` bool says; the positions still count."""
    features = at.features
    shape = (1, 1, *features.shape[2:]) if features.ndim > 2 else (-1, 1)
    # Not a product: what is gone may be infinite.
    return at.logits(features.masked_fill(gone.reshape(shape).to(features.device), 0))
