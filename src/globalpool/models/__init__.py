"""Small trunks for any modality, and networks with packaged weights."""

from globalpool.models.convnet import convnet
from globalpool.models.efficientnet import efficientnet_lite0
from globalpool.models.graphs import GraphTrunk, gcn, gin
from globalpool.models.hierarchy import Hierarchy, Levels, node_evidence
from globalpool.models.padded import PaddedSequential
from globalpool.models.patches import Patches
from globalpool.models.resnet3d import resnet3d
from globalpool.models.spectrogram import bandwise, framewise
from globalpool.models.tokens import NaFlexTrunk, TokenTrunk
from globalpool.models.windowed import WindowedClassifier

__all__ = [
    "GraphTrunk",
    "Hierarchy",
    "Levels",
    "NaFlexTrunk",
    "PaddedSequential",
    "Patches",
    "TokenTrunk",
    "WindowedClassifier",
    "bandwise",
    "convnet",
    "efficientnet_lite0",
    "framewise",
    "gcn",
    "gin",
    "node_evidence",
    "resnet3d",
]
