"""What a client does in a round, whoever carries its messages."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.data.parts import logits
from globalpool.evidence import evaluating
from globalpool.federated.nodes import Node
from globalpool.federated.parameters import load_parameters, parameters_of
from globalpool.federated.proximal import Proximal
from globalpool.federated.resolutions import ClientScore
from globalpool.federated.settings import FederationSettings
from globalpool.training import Batches, CrossEntropy, TrainingSettings, evaluate, train
from globalpool.training.processes import device_of


@dataclass(frozen=True, eq=False)
class LocalUpdate:
    """``parameters`` after the round, and the loss of its last pass."""

    parameters: dict[str, Tensor]
    loss: float


def local_update(
    classifier: PooledClassifier,
    node: Node,
    parameters: Mapping[str, Tensor],
    settings: FederationSettings,
    number: int,
    mu: float = 0.0,
) -> LocalUpdate:
    """Train in place from ``parameters`` for ``local_epochs``; ``number``: of the round; ``mu``: of FedProx.

    Random numbers depend on the seed and the round alone, so that a round can be done again.
    """
    load_parameters(classifier, parameters)
    epochs = settings.local_epochs
    plan = TrainingSettings(
        epochs=epochs,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        schedule="constant",
        warmup=0,
        seed=settings.seed + 1000 * number,
    )
    objective = Proximal(mu, dict(parameters)) if mu else CrossEntropy()
    result = train(classifier, _Later(node.training, (number - 1) * epochs), None, plan, objective=objective)
    return LocalUpdate(parameters_of(classifier), result.epochs[-1].train_loss)


def local_score(classifier: PooledClassifier, node: Node) -> ClientScore:
    """Accuracy on the samples the client holds out."""
    found = evaluate(classifier, node.judged)
    return ClientScore(node.resolution, found.samples, round(found.accuracy * found.samples), found.nll * found.samples)


@torch.no_grad()
def calibrate(classifier: PooledClassifier, batches: Batches) -> int:
    """BatchNorm statistics from all samples at the client's own resolution; how many norms there are.

    Received weights have moved since the running statistics were made, and other clients' pictures are of other sizes.
    Every sample counts the same; everything else is in eval mode.
    """
    norms = [
        module
        for module in classifier.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]
    if not norms:
        return 0
    device, momenta, seen = device_of(classifier), [norm.momentum for norm in norms], 0
    with evaluating(classifier):
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        for batch in batches:
            seen += len(batch)
            for norm in norms:
                norm.momentum = len(batch) / seen
            for part in batch.to(device).parts:
                logits(classifier, [part])
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
    return len(norms)


class _Later:
    """The epochs of ``batches`` that come after ``before`` others."""

    def __init__(self, batches: Batches, before: int) -> None:
        self.batches, self.before = batches, before

    def set_epoch(self, epoch: int) -> None:
        self.batches.set_epoch(self.before + epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)
