"""CutMix of the inputs."""

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data.batch import Batch
from globalpool.errors import DataError, PoolError
from globalpool.training.objectives.base import Loss, Objective
from globalpool.training.objectives.cross_entropy import CrossEntropy
from globalpool.training.objectives.outputs import check_alpha, label_shares
from globalpool.training.objectives.timm_mix import timm_mix
from globalpool.training.pairing import by_area, by_evidence

#: What a box is worth: its part of the area, or of the evidence.
Label = Literal["area", "evidence"]


def check_label(where: str, label: str) -> None:
    """Raise unless ``label`` is one of the two."""
    if label not in ("area", "evidence"):
        raise PoolError(where, '`label` to be "area" or "evidence"', repr(label))


@dataclass(frozen=True)
class CutMix:
    """``then`` on pictures with a box of another one pasted in, by timm's Mixup; side from Beta(alpha, alpha).

    One box a part of the batch, clipped at the edge. ``label`` "area": by the area the box really took, recomputed
    after clipping (Yun et al. 2019). "evidence": by the mass of the evidence for each picture's own classes that stays
    and comes, one more forward pass without gradient (SnapMix; Huang, Wang, Tao 2021); such labels need not sum to one.
    """

    alpha: float = 1.0
    label: Label = "area"
    then: Objective = field(default_factory=CrossEntropy)

    def __post_init__(self) -> None:
        check_alpha("CutMix", self.alpha)
        check_label("CutMix", self.label)

    def __call__(self, classifier: PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        """The loss of one batch."""
        parts, targets = [], []
        for part, own in zip(batch.parts, batch.targets.split([len(part) for part in batch.parts]), strict=True):
            if part.ndim != 4:
                hint = "FeatureCutMix cuts boxes of any number of axes."
                raise DataError("CutMix", "pictures (n, C, H, W)", f"inputs {tuple(part.shape)}", hint)
            mix = timm_mix("CutMix", part, 0.0, self.alpha, random)
            partner = mix.partner.to(own.device)
            if self.label == "area":
                pairing = by_area(partner, mix.mask)
            else:
                pairing = by_evidence(partner, mix.mask, picture_maps(classifier, part, own))
            parts.append(mix.inputs)
            targets.append(pairing.targets(label_shares("CutMix", classifier, own)))
        return Loss(self.then(classifier, replace(batch, parts=tuple(parts), targets=torch.cat(targets)), random).value)


@torch.no_grad()
def picture_maps(classifier: PooledClassifier, part: Tensor, targets: Tensor) -> Tensor:
    """Evidence at the pictures' resolution, same sums: of ids each picture's own class, of shares all classes."""
    maps = classifier.evidence(part, targets if targets.ndim == 1 else "all").upsample(part.shape[2:])
    assert isinstance(maps, Tensor), "dense features give one tensor"
    return maps
