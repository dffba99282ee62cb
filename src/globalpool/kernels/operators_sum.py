"""``globalpool::weighted_sum`` and its gradients as torch operators: autograd, fake tensors and compile know them."""

from typing import Any

import torch
from torch import Tensor

from globalpool.kernels import pages, reference, second


@torch.library.custom_op("globalpool::weighted_sum", mutates_args=(), device_types="cpu")
def weighted_sum(
    x: Tensor, ptr: Tensor | None, weights: Tensor | None, skip: bool, mean: bool
) -> tuple[Tensor, Tensor]:
    """``(N, R, C)`` and the sums of the first head's weights ``(N,)``, float64.

    ``x``: ragged ``(T, C)`` with ``ptr (N + 1,)``, or dense ``(N, C, P)``. ``weights``: ``(T, R)`` or ``(N, R, P)``, in
    the accumulation dtype; None counts every position once. ``skip``: what stands where a weight is 0 is not read.
    ``mean``: divided by those sums where they are positive.
    """
    from globalpool.kernels import loops_sum, memory, threads

    x = memory.readable(x)
    samples, heads = _sizes(x, ptr, weights)
    out = pages.empty((samples, heads, x.shape[1]), reference.accumulation_dtype(x.dtype), x)
    totals = x.new_empty(samples, dtype=torch.float64)
    array, total = out.numpy(), totals.numpy()
    flat = _flat(weights, out, memory.in_lines(x))
    if memory.in_lines(x):
        if weights is None:
            totals.fill_(x.shape[2])
        else:
            torch.sum(weights[:, 0], -1, dtype=torch.float64, out=totals)
        lines, runs = memory.Lines.of(x), memory.runs(x)
        threads.share_out(
            len(runs),
            lambda k: loops_sum.sum_lines(
                lines.array, lines.sample, lines.channel, x.shape[2], *runs[k], flat, heads, skip, mean, array, total
            ),
        )
        return out, totals
    rows, plan = memory.Rows.of(x), memory.plan(x, ptr)
    pieces, piece_totals = memory.scratch(plan, heads, x.shape[1]), memory.scratch(plan)
    threads.share_out(
        len(plan.runs),
        lambda k: loops_sum.sum_rows(
            rows.array, rows.stride, rows.skew, plan.slices, *plan.runs[k], flat, heads, skip, mean, array, total,
            pieces, piece_totals,
        ),
    )  # fmt: skip
    if plan.pieces:
        loops_sum.join_sums(plan.slices, pieces, piece_totals, mean, array, total)
    return out, totals


@torch.library.custom_op("globalpool::spread", mutates_args=(), device_types="cpu")
def spread(gradient: Tensor, x: Tensor, ptr: Tensor | None, weights: Tensor | None) -> Tensor:
    """``gradient (N, R, C)`` handed to every position under its weights: shaped, stored and laid out like ``x``."""
    from globalpool.kernels import loops_sum, memory, threads

    out = memory.like(x)
    gradient = gradient.contiguous()
    given, heads = gradient.numpy(), gradient.shape[1]
    flat = _flat(weights, gradient, memory.in_lines(out))
    if memory.in_lines(out):
        lines, runs = memory.Lines.of(out), memory.runs(out)
        threads.share_out(
            len(runs),
            lambda k: loops_sum.spread_lines(
                given, *runs[k], flat, heads, x.shape[2], lines.array, lines.sample, lines.channel
            ),
        )
        return out
    rows, plan = memory.Rows.of(out), memory.plan(out, ptr)
    threads.share_out(
        len(plan.runs),
        lambda k: loops_sum.spread_rows(
            given, plan.slices, *plan.runs[k], flat, heads, rows.array, rows.stride, rows.skew
        ),
    )
    return out


@torch.library.custom_op("globalpool::position_scores", mutates_args=(), device_types="cpu")
def position_scores(gradient: Tensor, x: Tensor, ptr: Tensor | None) -> Tensor:
    """Each position's product with ``gradient (N, R, C)``: ``(T, R)`` or ``(N, R, P)``, contiguous."""
    from globalpool.kernels import loops_sum, memory, threads

    x, gradient = memory.readable(x), gradient.contiguous()
    given, heads = gradient.numpy(), gradient.shape[1]
    if memory.in_lines(x):
        out = gradient.new_empty((x.shape[0], heads, x.shape[2]))
        array, lines = out.numpy(), memory.Lines.of(x)
        threads.share_out(
            x.shape[0],
            lambda n: loops_sum.score_lines(
                lines.array, lines.sample, lines.channel, x.shape[2], n, n + 1, given, array
            ),
        )
        return out
    rows, plan = memory.Rows.of(x), memory.plan(x, ptr)
    out = gradient.new_empty((x.shape[0] if x.ndim == 2 else x.shape[0] * x.shape[2], heads))
    array = out.numpy()
    threads.share_out(
        len(plan.runs),
        lambda k: loops_sum.score_rows(rows.array, rows.stride, rows.skew, plan.slices, *plan.runs[k], given, array),
    )
    return out if x.ndim == 2 else out.unflatten(0, (x.shape[0], -1)).transpose(1, 2).contiguous()


def plain(x: Tensor, ptr: Tensor | None, weights: Tensor | None, skip: bool, mean: bool) -> tuple[Tensor, Tensor]:
    """``weighted_sum`` in torch's own operations."""
    x = x.to(reference.accumulation_dtype(x.dtype))
    if ptr is None:
        weights = x.new_ones((x.shape[0], 1, x.shape[2])) if weights is None else weights
        x = torch.where(weights[:, :1] != 0, x, 0) if skip else x
        pooled, totals = (weights.unsqueeze(2) * x.unsqueeze(1)).sum(-1), weights[:, 0].sum(-1)
    else:
        weights = x.new_ones((x.shape[0], 1)) if weights is None else weights
        x = torch.where(weights[:, :1] != 0, x, 0) if skip else x
        segment, samples = second.segments(ptr, x.shape[0]), ptr.shape[0] - 1
        pooled = reference.segment_sum(weights.unsqueeze(2) * x.unsqueeze(1), segment, samples)
        totals = reference.segment_sum(weights[:, 0], segment, samples)
    if mean:
        pooled = pooled / torch.where(totals > 0, totals, 1)[:, None, None]
    return pooled, totals.double()


def _sizes(x: Tensor, ptr: Tensor | None, weights: Tensor | None) -> tuple[int, int]:
    samples = x.shape[0] if ptr is None else ptr.shape[0] - 1
    return samples, 1 if weights is None else weights.shape[1]


def _flat(weights: Tensor | None, like: Tensor, lines: bool) -> Any:
    """Weights one after the other: dense ones by sample and head for lines, by sample and position for rows."""
    if weights is None:
        return like.new_empty(0).numpy()
    weights = weights.detach().to(like.dtype)
    from globalpool.kernels import memory

    return memory.written_out(weights.transpose(1, 2) if weights.ndim == 3 and not lines else weights)


@weighted_sum.register_fake
def _(x: Tensor, ptr: Tensor | None, weights: Tensor | None, skip: bool, mean: bool) -> tuple[Tensor, Tensor]:
    samples, heads = _sizes(x, ptr, weights)
    out = x.new_empty((samples, heads, x.shape[1]), dtype=reference.accumulation_dtype(x.dtype))
    return out, x.new_empty(samples, dtype=torch.float64)


@spread.register_fake
def _(gradient: Tensor, x: Tensor, ptr: Tensor | None, weights: Tensor | None) -> Tensor:
    return torch.empty_like(x)


@position_scores.register_fake
def _(gradient: Tensor, x: Tensor, ptr: Tensor | None) -> Tensor:
    positions = x.shape[2:] if ptr is None else ()
    return gradient.new_empty((x.shape[0], gradient.shape[1], *positions))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, ptr, weights, ctx.skip, ctx.mean = inputs
    ctx.save_for_backward(x, ptr, weights, output[1])


def _gradients(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    x, ptr, weights, totals = ctx.saved_tensors
    if torch.is_grad_enabled():
        own = second.through(lambda: plain(x, ptr, weights, ctx.skip, ctx.mean)[:1], (x, weights), (gradient,))
        return own[0], None, own[1], None, None
    by_x, _, by_weights, *_ = ctx.needs_input_grad
    if ctx.mean:
        gradient = gradient / torch.where(totals > 0, totals, 1).to(gradient.dtype)[:, None, None]
    return (
        spread(gradient, x, ptr, weights) if by_x else None,
        None,
        position_scores(gradient, x, ptr) if by_weights else None,
        None,
        None,
    )


weighted_sum.register_autograd(_gradients, setup_context=_keep)
