"""A classifier that begins at the feature map."""

from typing import Any

from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.errors import TrainingError


def from_features(classifier: PooledClassifier) -> PooledClassifier:
    """Pool and tail of ``classifier``, the modules themselves, as a classifier whose inputs are features."""
    if type(classifier).forward is not PooledClassifier.forward:
        got = f"{type(classifier).__name__}, whose forward does more"
        hint = "Mix its inputs, or build a PooledClassifier of its trunk, pool and tail."
        raise TrainingError("from_features", "a classifier that computes tail(pool(trunk(x)))", got, hint)
    head = PooledClassifier(nn.Identity(), classifier.pool, classifier.tail, labels=classifier.labels)
    head.training = classifier.training  # by hand: train() would also reach into the shared modules
    return head


def plain_features(where: str, classifier: PooledClassifier, part: Any) -> Tensor:
    """The features of one part; TrainingError where samples have places of their own, so that no two can be mixed."""
    found = classifier.located(part)
    if found.layout:
        got = f"positions told by {', '.join(found.layout)}"
        raise TrainingError(
            where, "feature maps of one size", got, "Samples of several sizes or graphs cannot be mixed."
        )
    return found.values
