"""The proximal term of FedProx: local training that does not stray from where the round began."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.errors import FederatedError
from globalpool.training import CrossEntropy, Loss, Objective


@dataclass(frozen=True, eq=False)
class Proximal:
    """``objective + mu / 2 * sum |w - start|^2``, squared as in the paper.

    ``start``: parameters by name, as the server sent them. Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, Federated
    optimization in heterogeneous networks (2020), equation 2.
    """

    mu: float
    start: Mapping[str, Tensor]
    objective: Objective = field(default_factory=CrossEntropy)

    def __post_init__(self) -> None:
        if not self.mu >= 0:
            raise FederatedError("Proximal", "`mu` from 0", f"{self.mu}")

    def __call__(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        loss = self.objective(classifier, batch, random)
        away = [
            (value - self.start[name].to(value.device)).square().sum() for name, value in classifier.named_parameters()
        ]
        return Loss(loss.value + self.mu / 2 * torch.stack(away).sum(), loss.logits)
