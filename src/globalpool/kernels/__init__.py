"""The primitives over positions, and the one place that chooses who computes them."""

from globalpool.kernels.reference import (
    accumulation_dtype,
    blocked_matmul,
    dense_max,
    dense_sum,
    full_precision,
    segment_max,
    segment_sum,
)

__all__ = [
    "accumulation_dtype",
    "blocked_matmul",
    "dense_max",
    "dense_sum",
    "full_precision",
    "segment_max",
    "segment_sum",
]
