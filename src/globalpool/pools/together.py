"""Two pools in one read of the features."""

from torch import Tensor

from globalpool import kernels
from globalpool.layout import Layout
from globalpool.pools.base import Pool
from globalpool.pools.maximum import Max
from globalpool.pools.sums import Mean


def two_at_once(a: Pool, b: Pool, features: Tensor, layout: Layout) -> tuple[Tensor, Tensor] | None:
    """Both values ``(N, 1, C)`` where ``a`` and ``b`` are Mean and Max, in either order; None where that is slower.

    Features as they came, also at absent positions.
    """
    if {type(a), type(b)} != {Mean, Max}:
        return None
    bare = layout.paying("both", features)
    if bare is None:
        return None
    mean, top, *_ = kernels.mean_and_max(bare.features, bare.ptr, bare.facts, kernels.differentiating(bare.features))
    values = mean.unsqueeze(1), layout.zero_if_empty(top).unsqueeze(1)
    return values if type(a) is Mean else values[::-1]
