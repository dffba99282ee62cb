"""VICReg: features from pictures without labels, and a stop when they collapse."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.errors import TrainingError
from globalpool.training.objectives.base import Loss
from globalpool.training.views import View, strong_view, viewed

#: Under the root of the variance, as in the paper: its slope at zero stays finite.
EPSILON = 1e-4


def vicreg(
    first: Tensor, second: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    """The loss of two views' embeddings ``(N, D)``, as Algorithm 1 of Bardes, Ponce, LeCun 2022.

    ``invariance * mean (a - b)^2``, plus for each view ``variance * mean_j max(0, 1 - sqrt(var_j + 1e-4))`` and
    ``covariance / D * sum over i != j of cov_ij^2``; variances and covariances divide by N - 1.
    """
    loss = invariance * (first - second).square().mean()
    for view in (first, second):
        centred = view - view.mean(0)
        matrix = centred.T @ centred / (len(view) - 1)
        spread = torch.relu(1 - (matrix.diagonal() + EPSILON).sqrt()).mean()
        apart = (matrix.square().sum() - matrix.diagonal().square().sum()) / view.shape[1]
        loss = loss + variance * spread + covariance * apart
    return loss


class VICReg(nn.Module):
    """Two views of each picture meet behind ``expander``: alike to each other, unlike other pictures', decorrelated.

    Trains the trunk and the pool; the tail is left alone and targets are not read. ``features``: the pooled width;
    ``widths``: of the expander's layers, trained along and thrown away afterwards.

    ``deviation``: of the embeddings between the samples of the last batch, mean over dimensions; the loss pulls it to
    1. Below ``collapse`` for ``patience`` calls in a row training stops with a TrainingError, as everything has become
    one point: that is what invariance alone ends in, at a loss of zero.
    """

    last: Tensor
    below: Tensor

    def __init__(
        self,
        features: int,
        widths: Sequence[int] = (256, 256),
        *,
        view: View | None = None,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        collapse: float = 0.01,
        patience: int = 10,
    ) -> None:
        super().__init__()
        if not widths:
            raise TrainingError("VICReg", "at least one width for the expander", "none")
        layers: list[nn.Module] = []
        width = features
        for hidden in widths[:-1]:
            layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU()]
            width = hidden
        self.expander = nn.Sequential(*layers, nn.Linear(width, widths[-1]))
        self.register_buffer("last", torch.full((), float("nan")))
        self.register_buffer("below", torch.zeros((), dtype=torch.long))
        self.weights = (invariance, variance, covariance)
        self.collapse, self.patience = collapse, patience
        self.view = strong_view() if view is None else view

    @property
    def deviation(self) -> float:
        """Of the last batch's embeddings between samples; NaN before the first."""
        return float(self.last)

    def forward(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        if len(batch) < 2:
            hint = "Give larger batches; drop a last one of a single picture."
            raise TrainingError("VICReg", "two pictures a batch, to differ from each other", str(len(batch)), hint)
        first, second = (self._embedded(classifier, batch.parts, random) for _ in range(2))
        self._guard(first.detach())
        return Loss(vicreg(first, second, *self.weights))

    def _embedded(self, classifier: PooledClassifier, parts: tuple[Tensor, ...], random: torch.Generator) -> Tensor:
        seen = viewed(self.view, parts, random)
        vectors = torch.cat([classifier.pooled(part) for part in seen])
        if vectors.shape[1] != self.expander[0].in_features:
            got = f"{vectors.shape[1]}"
            raise TrainingError("VICReg", f"pooled vectors of width {self.expander[0].in_features}", got)
        embedded: Tensor = self.expander(vectors)
        return embedded

    def _guard(self, embedded: Tensor) -> None:
        self.last.copy_(embedded.std(0).mean())
        self.below.copy_((self.below + 1) * (self.last < self.collapse))
        if int(self.below) >= self.patience:
            raise TrainingError(
                "VICReg",
                f"embeddings that differ between pictures, by a deviation of {self.collapse:g} or more",
                f"{self.deviation:.1g} in {int(self.below)} batches in a row",
                "They have collapsed to one point: give variance a larger weight, or lower the learning rate.",
            )
