"""What a step makes small; one objective a file."""

from globalpool.training.objectives.base import Loss, Objective
from globalpool.training.objectives.consistency import FixMatch, MeanTeacher
from globalpool.training.objectives.cross_entropy import BinaryCrossEntropy, CrossEntropy
from globalpool.training.objectives.cutmix import CutMix
from globalpool.training.objectives.feature_cutmix import FeatureCutMix
from globalpool.training.objectives.feature_mixup import FeatureMixup
from globalpool.training.objectives.mixed_pooling import MixedPooling
from globalpool.training.objectives.mixup import Mixup
from globalpool.training.objectives.multi_resolution import MultiResolution
from globalpool.training.objectives.vicreg import VICReg

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "CutMix",
    "FeatureCutMix",
    "FeatureMixup",
    "FixMatch",
    "Loss",
    "MeanTeacher",
    "MixedPooling",
    "Mixup",
    "MultiResolution",
    "Objective",
    "VICReg",
]
