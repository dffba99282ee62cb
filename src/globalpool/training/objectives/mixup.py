"""Mixup of the inputs."""

from dataclasses import dataclass, field, replace

import torch

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.training.objectives.base import Loss, Objective
from globalpool.training.objectives.cross_entropy import CrossEntropy
from globalpool.training.objectives.outputs import check_alpha, label_shares
from globalpool.training.objectives.timm_mix import timm_mix
from globalpool.training.pairing import Pairing


@dataclass(frozen=True)
class Mixup:
    """``then`` on ``s x_i + (1 - s) x_j`` with labels mixed alike, by timm's Mixup; ``s`` from Beta(alpha, alpha).

    One share a part of the batch, mixed within the part: pictures of one size. The logits of the mix are NOT the mix
    of the logits unless the whole network is affine; ``interpolation_gap`` says how far off they are.
    Zhang, Cisse, Dauphin, Lopez-Paz 2018.
    """

    alpha: float = 0.2
    then: Objective = field(default_factory=CrossEntropy)

    def __post_init__(self) -> None:
        check_alpha("Mixup", self.alpha)

    def __call__(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        shares = label_shares("Mixup", classifier, batch.targets)
        parts, targets = [], []
        for part, own in zip(batch.parts, shares.split([len(part) for part in batch.parts]), strict=True):
            mix = timm_mix("Mixup", part, self.alpha, 0.0, random)
            weight = mix.share.to(own).expand(len(part), 1)
            parts.append(mix.inputs)
            targets.append(Pairing(mix.partner.to(own.device), weight, 1 - weight).targets(own))
        return Loss(self.then(classifier, replace(batch, parts=tuple(parts), targets=torch.cat(targets)), random).value)
