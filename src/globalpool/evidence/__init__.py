"""What each position gave each logit."""

from globalpool.evidence.account import account, check_width
from globalpool.evidence.by_cluster import cluster_evidence
from globalpool.evidence.choose import Classes
from globalpool.evidence.modes import evaluating
from globalpool.evidence.record import Evidence, Kind, offset_share
from globalpool.evidence.tails import AffineMap, AverageOf, UnitLength, affine_map, is_affine

__all__ = [
    "AffineMap",
    "AverageOf",
    "Classes",
    "Evidence",
    "Kind",
    "UnitLength",
    "account",
    "affine_map",
    "check_width",
    "cluster_evidence",
    "evaluating",
    "is_affine",
    "offset_share",
]
