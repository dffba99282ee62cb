"""Where the samples of a ragged batch begin, read by compiled loops: several of torch's operations in one."""

import torch
from torch import Tensor


def pointers(batch: Tensor, size: int) -> tuple[Tensor, int]:
    """The first row of each of ``size`` samples, then T, from sorted sample numbers ``batch (T,)``, int64.

    With it 0, or 1 where ``batch`` is not sorted, 2 where an entry is not from 0 to size - 1.
    """
    from globalpool.kernels import loops_pointers

    ptr = torch.empty(size + 1, dtype=torch.long)
    return ptr, int(loops_pointers.find_pointers(batch.detach().contiguous().numpy(), ptr.numpy()))


def rising(ptr: Tensor, rows: int) -> bool:
    """Whether ``ptr (N + 1,)``, int64, goes from 0 to ``rows`` without a step down."""
    from globalpool.kernels import loops_pointers

    return bool(loops_pointers.is_rising(ptr.detach().contiguous().numpy(), rows))
