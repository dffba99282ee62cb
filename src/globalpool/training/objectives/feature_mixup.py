"""Mixup of the feature maps: exact through an affine head."""

from dataclasses import dataclass, field, replace

import torch

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.training.draws import numpy_random
from globalpool.training.from_features import from_features, plain_features
from globalpool.training.objectives.base import Loss, Objective
from globalpool.training.objectives.cross_entropy import CrossEntropy
from globalpool.training.objectives.outputs import check_alpha, label_shares
from globalpool.training.pairing import Pairing


@dataclass(frozen=True)
class FeatureMixup:
    """``then`` on ``s F_i + (1 - s) F_j``, the feature maps that go into the pool; ``s`` from Beta(alpha, alpha).

    Through an affine head the logits are exactly ``s`` times those of i plus ``1 - s`` times those of j, so mixed
    labels ask for what the head can give; through others they are not. One share and one shuffle a part of the batch.
    Verma et al. 2019 (Manifold Mixup, at its last layer).
    """

    alpha: float = 0.2
    then: Objective = field(default_factory=CrossEntropy)

    def __post_init__(self) -> None:
        check_alpha("FeatureMixup", self.alpha)

    def __call__(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        shares = label_shares("FeatureMixup", classifier, batch.targets)
        parts, targets = [], []
        for part, own in zip(batch.parts, shares.split([len(part) for part in batch.parts]), strict=True):
            features = plain_features("FeatureMixup", classifier, part)
            share = float(numpy_random(random).beta(self.alpha, self.alpha))
            partner = torch.randperm(len(part), generator=random).to(own.device)
            weight = own.new_full((len(part), 1), share)
            parts.append(share * features + (1 - share) * features[partner])
            targets.append(Pairing(partner, weight, 1 - weight).targets(own))
        mixed = replace(batch, parts=tuple(parts), targets=torch.cat(targets))
        return Loss(self.then(from_features(classifier), mixed, random).value)
