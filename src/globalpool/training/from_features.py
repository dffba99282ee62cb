"""A classifier that begins at the feature map."""

from torch import nn

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
