"""A classifier that begins at the feature map."""

from torch import nn

from globalpool.classifier import PooledClassifier


def from_features(classifier: PooledClassifier) -> PooledClassifier:
    """Pool and tail of ``classifier``, the modules themselves, as a classifier whose inputs are features."""
    head = PooledClassifier(nn.Identity(), classifier.pool, classifier.tail, labels=classifier.labels)
    head.training = classifier.training  # by hand: train() would also reach into the shared modules
    return head
