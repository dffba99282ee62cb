"""The first row of each sample: from sorted numbers, and whether given ones are in order."""

from typing import Any

from globalpool.kernels.compiled import compiled


@compiled
def find_pointers(batch: Any, pointers: Any) -> int:
    """Fill ``pointers (N + 1,)`` from sample numbers ``batch (T,)``: 0, or 1 unsorted, 2 out of range."""
    samples, rows = pointers.shape[0] - 1, batch.shape[0]
    unsorted, outside = 0, 0
    for t in range(1, rows):
        unsorted |= batch[t] < batch[t - 1]
    for t in range(rows):
        outside |= (batch[t] < 0) | (batch[t] >= samples)
    if unsorted:
        return 1
    if outside:
        return 2
    filled = 0
    for t in range(rows):
        while filled <= batch[t]:
            pointers[filled] = t
            filled += 1
    pointers[filled:] = rows
    return 0


@compiled
def is_rising(pointers: Any, rows: int) -> bool:
    """Whether ``pointers (N + 1,)`` go from 0 to ``rows`` without a step down."""
    falling = 0
    for n in range(1, pointers.shape[0]):
        falling |= pointers[n] < pointers[n - 1]
    return not falling and pointers[0] == 0 and pointers[-1] == rows
