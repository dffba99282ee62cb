"""A classifier opened between its trunk and its pool, whoever built it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from globalpool.audits.finding import DoesNotApplyError
from globalpool.classifier import PooledClassifier
from globalpool.layout import LayoutArguments
from globalpool.pools import Pool
from globalpool.surgery import AdoptedClassifier, GraphClassifier


@dataclass(frozen=True, eq=False)
class Opened:
    """One batch at the feature map: ``features`` dense ``(N, C, *S)`` or ragged ``(T, C)`` with their ``layout``.

    ``pool`` and ``tail`` are the classifier's own, or what it holds for this batch.
    """

    features: Tensor
    layout: LayoutArguments
    pool: Pool
    tail: nn.Module

    @property
    def dense(self) -> bool:
        """Whether every position of a full grid is there, no mask and no ragged rows."""
        return self.features.ndim > 2 and not any(value is not None for value in self.layout.values())

    @property
    def positions(self) -> int:
        """How many positions the dense map of one sample has."""
        return int(torch.tensor(self.features.shape[2:]).prod())

    def vectors(self, features: Tensor | None = None) -> Tensor:
        """Pooled vectors ``(N, F)`` of these features, or of others in their place."""
        vectors: Tensor = self.pool(self.features if features is None else features, **self.layout)
        return vectors

    def logits(self, features: Tensor | None = None) -> Tensor:
        """Logits ``(N, K)`` of these features, or of others in their place."""
        return self.tell(self.vectors(features))

    def tell(self, vectors: Tensor) -> Tensor:
        """Logits of pooled vectors."""
        first = next(self.tail.parameters(), None)
        logits: Tensor = self.tail(vectors if first is None else vectors.to(first.dtype))
        return logits


def opened(classifier: PooledClassifier, x: Any) -> Opened:
    """Features of ``x`` in the present mode, and what goes on from there."""
    if isinstance(classifier, GraphClassifier):
        return Opened(*classifier.opened(x))
    if isinstance(classifier, AdoptedClassifier):
        features, pool, tail = classifier._taken(x)
        return Opened(features, {}, pool, tail)
    found = classifier.located(x)
    return Opened(found.values, found.layout, classifier.pool, classifier.tail)


def opened_dense(classifier: PooledClassifier, x: Any) -> Opened:
    """The same of a full grid; DoesNotApplyError for ragged and padded ones."""
    found = opened(classifier, x)
    if not found.dense:
        raise DoesNotApplyError("needs a feature map on a full regular grid; this one is ragged or padded")
    return found
