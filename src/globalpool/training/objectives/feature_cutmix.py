"""CutMix of the feature maps: exact through an affine head, as sums of evidence."""

from dataclasses import dataclass, field, replace

import torch

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.errors import DataError
from globalpool.evidence import account
from globalpool.training.boxes import Border, drawn_box
from globalpool.training.draws import numpy_random
from globalpool.training.from_features import from_features, plain_features
from globalpool.training.objectives.base import Loss, Objective
from globalpool.training.objectives.cross_entropy import CrossEntropy
from globalpool.training.objectives.cutmix import Label, check_label
from globalpool.training.objectives.outputs import check_alpha, label_shares
from globalpool.training.pairing import by_area, by_evidence


@dataclass(frozen=True)
class FeatureCutMix:
    """``then`` on feature maps with a box of another one pasted in; side from Beta(alpha, alpha).

    Through an affine head the logit is the bias plus the evidence of the one outside the box plus that of the other
    inside, exactly. ``label`` "area" gives by area what the box took; that is the mean over all places of a box that
    goes on at the other side (``border="wrap"``), and not of a clipped one. "evidence" gives by the mass of evidence
    for each sample's own classes (see ``CutMix``), without another forward pass. Any number of spatial axes.
    """

    alpha: float = 1.0
    label: Label = "area"
    border: Border = "clip"
    then: Objective = field(default_factory=CrossEntropy)

    def __post_init__(self) -> None:
        check_alpha("FeatureCutMix", self.alpha)
        check_label("FeatureCutMix", self.label)

    def __call__(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        parts, targets = [], []
        for part, own in zip(batch.parts, batch.targets.split([len(part) for part in batch.parts]), strict=True):
            features = plain_features("FeatureCutMix", classifier, part)
            if features.ndim < 3:
                expected = "feature maps (n, C, *S)"
                raise DataError("FeatureCutMix", expected, f"features {tuple(features.shape)}", "Use FeatureMixup.")
            draw = numpy_random(random)
            mask = drawn_box(features.shape[2:], float(draw.beta(self.alpha, self.alpha)), self.border, draw)
            mask = mask.to(features.device)
            partner = torch.randperm(len(part), generator=random).to(own.device)
            if self.label == "area":
                pairing = by_area(partner, mask)
            else:
                with torch.no_grad():
                    asked = own if own.ndim == 1 else "all"
                    maps = account(classifier.pool, classifier.tail, features.detach(), asked).maps
                pairing = by_evidence(partner, mask, maps)
            parts.append(torch.where(mask, features[partner], features))
            targets.append(pairing.targets(label_shares("FeatureCutMix", classifier, own)))
        mixed = replace(batch, parts=tuple(parts), targets=torch.cat(targets))
        return Loss(self.then(from_features(classifier), mixed, random).value)
