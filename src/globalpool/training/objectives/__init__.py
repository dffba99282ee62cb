"""What a step makes small; one objective a file."""

from globalpool.training.objectives.base import Loss, Objective
from globalpool.training.objectives.cross_entropy import BinaryCrossEntropy, CrossEntropy
from globalpool.training.objectives.cutmix import CutMix
from globalpool.training.objectives.feature_cutmix import FeatureCutMix
from globalpool.training.objectives.feature_mixup import FeatureMixup
from globalpool.training.objectives.mixed_pooling import MixedPooling
from globalpool.training.objectives.mixup import Mixup

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "CutMix",
    "FeatureCutMix",
    "FeatureMixup",
    "Loss",
    "MixedPooling",
    "Mixup",
    "Objective",
]
