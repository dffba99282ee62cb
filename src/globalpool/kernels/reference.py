"""The primitives over positions in plain torch: the specification every faster kernel is held to.

Dense half-precision values are accumulated in float32, pairwise (torch's own cascade), and so is float32. On ragged
segments additions arrive one by one, so everything is accumulated in float64.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.autograd import forward_ad

HALF_DTYPES = (torch.float16, torch.bfloat16)


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which weights, sums and remainders of ``dtype`` features are kept."""
    return torch.float32 if dtype in HALF_DTYPES else dtype


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """No autocast inside: sums keep the accumulation dtype."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def differentiating(*tensors: Tensor) -> bool:
    """Whether autograd follows what is computed from these tensors, backward or forward."""
    backward = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    if torch.compiler.is_compiling():
        return backward
    return backward or forward_ad._current_level >= 0


def dense_sum(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Sum over the axes ``dims``, in the accumulation dtype."""
    if not dims:
        return values.to(accumulation_dtype(values.dtype))
    return values.sum(dims, dtype=accumulation_dtype(values.dtype))


def dense_max(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Largest value over the axes ``dims``; -inf where one of them has length 0."""
    if all(values.shape[dim] for dim in dims):
        return values.amax(dims) if dims else values
    kept = set(range(values.ndim)) - {dim % values.ndim for dim in dims}
    return values.new_full([values.shape[axis] for axis in sorted(kept)], float("-inf"))


def segment_sum(values: Tensor, segment: Tensor, segments: int) -> Tensor:
    """``(T, *rest)`` rows summed into ``(segments, *rest)`` by the segment number of each row ``(T,)``."""
    sums = values.new_zeros((segments, *values.shape[1:]), dtype=torch.float64)
    return sums.index_add(0, segment, values.double()).to(accumulation_dtype(values.dtype))


def segment_max(values: Tensor, segment: Tensor, segments: int) -> Tensor:
    """Largest row value of each segment; -inf for a segment without rows."""
    index = segment.reshape(-1, *(1,) * (values.ndim - 1)).expand_as(values)
    lowest = values.new_full((segments, *values.shape[1:]), float("-inf"))
    return lowest.scatter_reduce(0, index, values, "amax")


def dense_threshold(values: Tensor, measure: Tensor | None, amount: int) -> Tensor:
    """``(N, C, J, P)`` -> ``(N, C, J)``: the last value taken when the largest are taken until they hold ``amount``.

    ``measure (N, 1, J, P)`` is what each position holds (None: 1 each; -inf marks absent values). The smallest value
    when all together hold less; -inf without positions.
    """
    if values.shape[-1] == 0:
        return values.new_full(values.shape[:-1], float("-inf"))
    if measure is None:
        return values.topk(min(amount, values.shape[-1]), dim=-1).values[..., -1]
    ordered, order = values.sort(dim=-1, descending=True)
    held = measure.double().expand_as(values).gather(-1, order)
    taken = (held.cumsum(-1) - held < amount) & (held > 0)
    return _lowest_taken(torch.where(taken, ordered, float("inf")).amin(-1))


def segment_threshold(values: Tensor, measure: Tensor | None, segment: Tensor, segments: int, amount: int) -> Tensor:
    """``dense_threshold`` for ragged rows ``(T, C)`` with ``measure (T,)``: ``(segments, C)``."""
    # More than `amount` in one place is as good as `amount`; a running sum over all samples keeps its digits so.
    held = (torch.ones_like(segment) if measure is None else measure).double().clamp(max=amount)
    held = held.unsqueeze(1).expand_as(values)
    by_value = values.argsort(dim=0, descending=True)
    by_segment = segment[by_value].argsort(dim=0, stable=True)
    order = by_value.gather(0, by_segment)
    ordered, held, place = values.gather(0, order), held.gather(0, order), segment[order]
    before = held.cumsum(0) - held
    inside = segment_sum(held, place[:, 0], segments)
    taken = (before - (inside.cumsum(0) - inside).gather(0, place) < amount) & (held > 0)
    return _lowest_taken(-segment_max(-torch.where(taken, ordered, float("inf")), place[:, 0], segments))


def _lowest_taken(lowest: Tensor) -> Tensor:
    return torch.where(lowest == float("inf"), float("-inf"), lowest)


BLOCK = 1024


def blocked_matmul(rows: Tensor, columns: Tensor) -> Tensor:
    """``(*, R, P) @ (*, P, C)`` with the long axis P summed in blocks, so that float32 does not add term by term."""
    length = rows.shape[-1]
    if length <= 2 * BLOCK or rows.dtype == torch.float64:
        return rows @ columns
    whole = length // BLOCK * BLOCK
    left = rows[..., :whole].unflatten(-1, (-1, BLOCK)).movedim(-2, 0)
    right = columns[..., :whole, :].unflatten(-2, (-1, BLOCK)).movedim(-3, 0)
    blocks: Tensor = left @ right
    return blocks.sum(0) + rows[..., whole:] @ columns[..., whole:, :]
