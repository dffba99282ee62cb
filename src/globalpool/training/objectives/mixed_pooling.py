"""Mean and Sum in turn, batch by batch, with one classifier behind them."""

from dataclasses import dataclass, field
from math import prod
from typing import Literal

import torch
from torch import Tensor

from globalpool import kernels
from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.errors import PoolError
from globalpool.layout import Layout
from globalpool.pools import Mean, Parts, Pool
from globalpool.training.objectives.base import Loss, Objective
from globalpool.training.objectives.cross_entropy import CrossEntropy

#: The lengths of the feature map at which the two branches agree, or each sample's own.
Reference = tuple[int, ...] | Literal["current"]


class SumBranch(Pool):
    """``sum_p m[p] x[p] / reference``: what the tail's weights divided by ``reference`` make of Sum.

    ``reference`` None: each sample's own count, which is Mean again.
    """

    affine = True

    def __init__(self, reference: int | None, like: Pool) -> None:
        super().__init__(dim=like.dim, empty="raise" if like.empty == "raise" else "zero")
        self.reference = reference

    def _scale(self, layout: Layout) -> Tensor:
        total = layout.total()
        return 1 / (
            torch.where(total > 0, total, 1) if self.reference is None else torch.full_like(total, self.reference)
        )

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        return Parts(layout.weigh(layout.ones()) * layout.spread(layout.per_position(self._scale(layout), 2)))

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        return (layout.sum(layout.weigh(features)) * layout.per_position(self._scale(layout), 1)).unsqueeze(1)

    def value_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return kernels.accumulation_dtype(dtype)


@dataclass(frozen=True)
class MixedPooling:
    """``then`` through Mean, or with probability ``sum_share`` through Sum, by the same tail; one draw a batch.

    The Sum branch divides the tail's weights, not its bias, by a number of positions of the FEATURE map. ``reference``
    "current": each sample's own. The branches are then the same function and mixing changes rounding alone: this is
    the rescaling without which they fight (with ``(1, 1)`` the Sum's logits are as many times larger as there are
    positions). A size such as ``(7, 7)``: they agree there, and elsewhere the Sum's logits grow with the map.

    The classifier pools with Mean. After training it is the Mean branch; the Sum branch with a fixed size is
    ``classifier.with_pool(Sum(), size=reference)``. Derived from Aich, Stavness 2018; no paper has this recipe.
    """

    sum_share: float = 0.5
    reference: Reference = "current"
    then: Objective = field(default_factory=CrossEntropy)

    def __post_init__(self) -> None:
        if not 0 <= self.sum_share <= 1:
            raise PoolError("MixedPooling", "`sum_share` from 0 to 1", f"{self.sum_share}")
        whole = isinstance(self.reference, tuple) and all(
            isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in self.reference
        )
        if self.reference != "current" and not (whole and self.reference):
            hint = "Lengths of the feature map, not of the picture: classifier.feature_size(x) tells them."
            raise PoolError("MixedPooling", '`reference` as "current" or lengths, (7, 7)', repr(self.reference), hint)

    def sum_branch(self, classifier: PooledClassifier) -> PooledClassifier:
        """Trunk and tail of ``classifier``, the modules themselves, around the Sum of this mixture."""
        if type(classifier.pool) is not Mean:
            hint = "classifier.with_pool(Mean(), size=...) makes one of a Sum."
            raise PoolError("MixedPooling", "a classifier that pools with Mean", type(classifier.pool).__name__, hint)
        reference = None if self.reference == "current" else prod(self.reference)
        branch = PooledClassifier(
            classifier.trunk, SumBranch(reference, classifier.pool), classifier.tail, labels=classifier.labels
        )
        branch.training = classifier.training  # by hand: train() would also reach into the shared modules
        return branch

    def __call__(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        branch = self.sum_branch(classifier)
        by_sum = bool(torch.rand((), generator=random) < self.sum_share)
        return self.then(branch if by_sum else classifier, batch, random)
