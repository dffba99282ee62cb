"""Small trunks for any modality, and networks with packaged weights."""

from globalpool.models.convnet import convnet
from globalpool.models.efficientnet import efficientnet_lite0
from globalpool.models.padded import PaddedSequential

__all__ = ["PaddedSequential", "convnet", "efficientnet_lite0"]
