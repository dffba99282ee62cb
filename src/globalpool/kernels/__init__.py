"""The primitives over positions, and the one place that chooses who computes them."""

from globalpool.kernels.choice import Step, forced, loops, pays
from globalpool.kernels.operators_evidence import sum_and_scores
from globalpool.kernels.operators_exponential import (
    LOG_MEAN_EXP,
    POWER,
    SMOOTH_MINIMUM,
    SOFTMAX,
    exponential_mean,
)
from globalpool.kernels.operators_max import largest
from globalpool.kernels.operators_mean_max import mean_and_max
from globalpool.kernels.operators_moments import moments
from globalpool.kernels.operators_softmax import softmax
from globalpool.kernels.operators_sum import weighted_sum
from globalpool.kernels.pages import product
from globalpool.kernels.pointers import pointers, rising
from globalpool.kernels.reference import (
    accumulation_dtype,
    blocked_matmul,
    dense_max,
    dense_sum,
    dense_threshold,
    differentiating,
    full_precision,
    segment_max,
    segment_sum,
    segment_threshold,
)
from globalpool.kernels.second import segments

__all__ = [
    "LOG_MEAN_EXP",
    "POWER",
    "SMOOTH_MINIMUM",
    "SOFTMAX",
    "Step",
    "accumulation_dtype",
    "blocked_matmul",
    "dense_max",
    "dense_sum",
    "dense_threshold",
    "differentiating",
    "exponential_mean",
    "forced",
    "full_precision",
    "largest",
    "loops",
    "mean_and_max",
    "moments",
    "pays",
    "pointers",
    "product",
    "rising",
    "segment_max",
    "segment_sum",
    "segment_threshold",
    "segments",
    "softmax",
    "sum_and_scores",
    "weighted_sum",
]
