"""``globalpool::largest`` and its gradient as torch operators."""

from typing import Any

import torch
from torch import Tensor

from globalpool.kernels import operators_pooled as run
from globalpool.kernels import pages, reference, second


@torch.library.custom_op("globalpool::largest", mutates_args=(), device_types="cpu")
def largest(x: Tensor, ptr: Tensor | None, measure: Tensor | None) -> tuple[Tensor, Tensor]:
    """The largest value ``(N, C)`` at positions whose measure is not 0, and how many positions share it.

    ``x``: ragged ``(T, C)`` with ``ptr (N + 1,)``, or dense ``(N, C, P)``; ``measure (T,)`` or ``(N, P)``. Without
    positions -inf and none.
    """
    from globalpool.kernels import loops_max as loops

    shape, dtype = (run.samples(x, ptr), x.shape[1]), run.accumulated(x)
    tops, ties = pages.empty(shape, dtype, x), pages.empty(shape, dtype, x)
    top, tie, held = tops.numpy(), ties.numpy(), run.held(measure, x)
    run.forward(
        x,
        ptr,
        (2, x.shape[1]),
        lambda *place: loops.max_rows(*place[:-2], held, top, tie, place[-2]),
        lambda slices, pieces, _: loops.join_max(slices, pieces, top, tie),
        lambda *place: loops.max_lines(*place, held, top, tie),
    )
    return tops, ties


@torch.library.custom_op("globalpool::largest_gradient", mutates_args=(), device_types="cpu")
def largest_gradient(
    gradient: Tensor, x: Tensor, ptr: Tensor | None, measure: Tensor | None, tops: Tensor, ties: Tensor
) -> Tensor:
    """The gradient of ``x``: shared equally by the positions that reach a finite maximum."""
    from globalpool.kernels import loops_max as loops

    top, held = tops.detach().contiguous().numpy(), run.held(measure, x)
    slope = (gradient.detach() / ties.clamp(min=1)).contiguous().numpy()
    return run.backward(
        x,
        ptr,
        lambda *place: loops.max_gradient_rows(*place[:6], held, top, slope, *place[6:]),
        lambda *place: loops.max_gradient_lines(*place[:6], held, top, slope, *place[6:]),
    )


def plain(x: Tensor, ptr: Tensor | None, measure: Tensor | None, tops: Tensor) -> Tensor:
    """The maximum as a sum over the positions that reach it, whose derivative is their share; its value is not used."""
    x = x.to(run.accumulated(x))
    segment = None if ptr is None else second.segments(ptr, x.shape[0])
    reach = x.detach() == (tops.unsqueeze(2) if segment is None else tops.index_select(0, segment))
    if measure is not None:
        reach = reach & (measure != 0).unsqueeze(1)
    hits = reach.to(x.dtype)
    inside = torch.where(reach & x.isfinite(), x, 0)
    if segment is None:
        return (hits * inside).sum(2) / hits.sum(2).clamp(min=1)
    sums = [reference.segment_sum(part, segment, tops.shape[0]) for part in (hits * inside, hits)]
    return sums[0] / sums[1].clamp(min=1)


@largest.register_fake
def _(x: Tensor, ptr: Tensor | None, measure: Tensor | None) -> tuple[Tensor, Tensor]:
    tops = x.new_empty((run.samples(x, ptr), x.shape[1]), dtype=run.accumulated(x))
    return tops, torch.empty_like(tops)


@largest_gradient.register_fake
def _(gradient: Tensor, x: Tensor, ptr: Tensor | None, measure: Tensor | None, tops: Tensor, ties: Tensor) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _gradients(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    x, ptr, measure, tops, ties = ctx.saved_tensors
    if torch.is_grad_enabled():
        (own,) = second.through(lambda: [plain(x, ptr, measure, tops.detach())], (x,), (gradient,))
        return own, None, None
    return largest_gradient(gradient, x, ptr, measure, tops, ties), None, None


largest.register_autograd(_gradients, setup_context=_keep)
