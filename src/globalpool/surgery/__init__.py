"""Existing models taken apart and changed: adopted, refitted, with new heads, and what they cost."""

from globalpool.surgery.adopt import adopt
from globalpool.surgery.adopted import AdoptedClassifier, Proof
from globalpool.surgery.collect import collect
from globalpool.surgery.cost import Cost, CostRow, cost
from globalpool.surgery.fit import fit_head
from globalpool.surgery.graphs.classifier import GraphClassifier
from globalpool.surgery.head_fit import HeadFit
from globalpool.surgery.latency import Latency
from globalpool.surgery.replace import replace_head
from globalpool.surgery.replacement import PartCount, ReplacedClassifier, Replacement
from globalpool.surgery.statistics import HeadStatistics

__all__ = [
    "AdoptedClassifier",
    "Cost",
    "CostRow",
    "GraphClassifier",
    "HeadFit",
    "HeadStatistics",
    "Latency",
    "PartCount",
    "Proof",
    "ReplacedClassifier",
    "Replacement",
    "adopt",
    "collect",
    "cost",
    "fit_head",
    "replace_head",
]
