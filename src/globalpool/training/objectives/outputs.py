"""What the objectives ask of a classifier and of their settings."""

import math

import torch
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.errors import PoolError
from globalpool.surgery.last_linear import last_linear


def label_shares(where: str, classifier: PooledClassifier, targets: Tensor) -> Tensor:
    """Targets as float ``(N, K)``: rows with a one for class ids ``(N,)``, shares ``(N, K)`` as they are.

    K is the number of the classifier's labels, or the width of the last linear layer of its tail.
    """
    if targets.ndim == 2:
        return targets
    named = classifier.labels
    classes = last_linear(where, classifier).layer.out_features if named is None else len(named)
    return torch.nn.functional.one_hot(targets, classes).to(torch.get_default_dtype())


def check_alpha(where: str, alpha: float) -> None:
    """Raise unless ``alpha`` is a parameter a beta distribution takes."""
    if not (alpha > 0 and math.isfinite(alpha)):
        hint = "0.2 mixes little, 1 draws every share alike; without mixing use the objective inside by itself."
        raise PoolError(where, "`alpha` as a positive number", f"{alpha}", hint)
