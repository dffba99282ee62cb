"""``globalpool::moments``, mean and deviation of each channel, and their gradient as torch operators."""

from typing import Any

import torch
from torch import Tensor

from globalpool.kernels import operators_pooled as run
from globalpool.kernels import pages, reference, second


@torch.library.custom_op("globalpool::moments", mutates_args=(), device_types="cpu")
def moments(x: Tensor, ptr: Tensor | None, measure: Tensor | None, keep: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and population deviation ``(N, C)``; the mean in float64 for the gradient (``keep``); totals ``(N,)``.

    ``x``: ragged ``(T, C)`` with ``ptr (N + 1,)``, or dense ``(N, C, P)``; ``measure (T,)`` or ``(N, P)``. Zeros
    without positions.
    """
    from globalpool.kernels import loops_moments as loops

    shape, dtype = (run.samples(x, ptr), x.shape[1]), run.accumulated(x)
    means, spreads = pages.empty(shape, dtype, x), pages.empty(shape, dtype, x)
    wide = pages.empty(shape if keep else (0, x.shape[1]), torch.float64, x)
    totals = x.new_empty(shape[0], dtype=torch.float64)
    held, given = run.held(measure, x), (means.numpy(), spreads.numpy(), wide.numpy(), totals.numpy())
    run.forward(
        x,
        ptr,
        (2, x.shape[1]),
        lambda *place: loops.moment_rows(*place[:-2], held, *given, *place[-2:]),
        lambda slices, pieces, counts: loops.join_moments(slices, pieces, counts, *given),
        lambda *place: loops.moment_lines(*place, held, *given),
    )
    return means, spreads, wide, totals


@torch.library.custom_op("globalpool::moments_gradient", mutates_args=(), device_types="cpu")
def moments_gradient(
    x: Tensor, ptr: Tensor | None, measure: Tensor | None, means: Tensor, by_mean: Tensor, by_distance: Tensor
) -> Tensor:
    """``w (by_mean + by_distance (x - mean))`` at each position, shaped like ``x``; all ``(N, C)`` and float64."""
    from globalpool.kernels import loops_moments as loops

    held = run.held(measure, x)
    mean, level, slope = (part.detach().contiguous().numpy() for part in (means, by_mean, by_distance))
    return run.backward(
        x,
        ptr,
        lambda *place: loops.moment_gradient_rows(*place[:6], held, mean, level, slope, *place[6:]),
        lambda *place: loops.moment_gradient_lines(*place[:6], held, mean, level, slope, *place[6:]),
    )


def plain(x: Tensor, ptr: Tensor | None, measure: Tensor | None) -> tuple[Tensor, Tensor]:
    """``moments`` in torch's own operations, by two passes."""
    x = x.to(run.accumulated(x))
    if ptr is None:
        held = x.new_ones((x.shape[0], x.shape[2])) if measure is None else measure
        held = held.unsqueeze(1)
        x = torch.where(held != 0, x, 0)
        share = held / torch.where(held.sum(2) > 0, held.sum(2), 1).unsqueeze(2)
        mean = (share * x).sum(2)
        variance = (share * (x - mean.unsqueeze(2)).square()).sum(2)
    else:
        segment, samples = second.segments(ptr, x.shape[0]), ptr.shape[0] - 1
        held = (x.new_ones(x.shape[:1]) if measure is None else measure).unsqueeze(1)
        x = torch.where(held != 0, x, 0)
        total = reference.segment_sum(held, segment, samples)
        share = held / torch.where(total > 0, total, 1).index_select(0, segment)
        mean = reference.segment_sum(share * x, segment, samples)
        far = x - mean.index_select(0, segment)
        variance = reference.segment_sum(share * far.square(), segment, samples)
    flat = variance == 0
    return mean, torch.where(flat, 0, torch.where(flat, 1, variance).sqrt())


@moments.register_fake
def _(x: Tensor, ptr: Tensor | None, measure: Tensor | None, keep: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = (run.samples(x, ptr), x.shape[1])
    mean = x.new_empty(shape, dtype=run.accumulated(x))
    wide = x.new_empty(shape if keep else (0, shape[1]), dtype=torch.float64)
    return mean, torch.empty_like(mean), wide, x.new_empty(shape[0], dtype=torch.float64)


@moments_gradient.register_fake
def _(
    x: Tensor, ptr: Tensor | None, measure: Tensor | None, means: Tensor, by_mean: Tensor, by_distance: Tensor
) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:3], *output[1:])


def _gradients(ctx: Any, by_mean: Tensor, by_deviation: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    x, ptr, measure, deviations, means, totals = ctx.saved_tensors
    if torch.is_grad_enabled():
        (own,) = second.through(lambda: plain(x, ptr, measure), (x,), (by_mean, by_deviation))
        return own, None, None, None
    total = torch.where(totals > 0, totals, 1).unsqueeze(1)
    root = torch.where(deviations > 0, deviations, 1).double()
    by_distance = torch.where(deviations > 0, by_deviation.double() / root, 0) / total
    return moments_gradient(x, ptr, measure, means, by_mean.double() / total, by_distance), None, None, None


moments.register_autograd(_gradients, setup_context=_keep)
