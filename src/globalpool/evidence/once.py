"""Pooled vectors and the evidence of chosen classes in one read of the features, where a compiled loop does it."""

import torch
from torch import Tensor

from globalpool import kernels
from globalpool.layout import Layout
from globalpool.pools import Mean, Pool, Sum

#: Classes up to which one read beats a matrix product beside the pooling.
FEW = 8


def pooled_with_maps(pool: Pool, features: Tensor, layout: Layout, rows: Tensor) -> tuple[Tensor, Tensor] | None:
    """``value (N, 1, C)`` and maps of ``rows (N or 1, K', C)``, the tail's; None where two reads are as fast.

    For Mean and Sum alone: their weights are known before the features are.
    """
    fits = rows.shape[1] <= FEW and rows.shape[2] == features.shape[1] and rows.dtype == layout.dtype
    if type(pool) not in (Mean, Sum) or not fits:
        return None
    bare = None if kernels.differentiating(features, rows) else layout.paying("evidence", features, rows)
    if bare is None:
        return None
    sums, totals, scores = kernels.sum_and_scores(bare.features, bare.ptr, bare.facts, rows)
    if type(pool) is Mean:
        divisor = torch.where(totals > 0, totals, 1)
        sums = sums / divisor.unsqueeze(1)
        each = divisor if bare.ptr is None else layout.of_sample(divisor.unsqueeze(1)).squeeze(1)
        scores = scores / each.to(scores.dtype).reshape(-1, *[1] * (scores.ndim - 1))
    maps = scores if bare.ptr is not None else scores.unflatten(2, features.shape[2:])
    return sums.to(layout.dtype).unsqueeze(1), maps
