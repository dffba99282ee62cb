"""``globalpool::mean_and_max`` and its gradient as torch operators."""

from typing import Any

import torch
from torch import Tensor

from globalpool.kernels import operators_max, operators_sum, pages, second
from globalpool.kernels import operators_pooled as run


@torch.library.custom_op("globalpool::mean_and_max", mutates_args=(), device_types="cpu")
def mean_and_max(
    x: Tensor, ptr: Tensor | None, measure: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean under the measure and largest value present ``(N, C)``; positions that share it (``keep``); totals ``(N,)``.

    ``x``: ragged ``(T, C)`` with ``ptr (N + 1,)``, or dense ``(N, C, P)``; ``measure (T,)`` or ``(N, P)``. Without
    positions 0 and -inf.
    """
    from globalpool.kernels import loops_mean_max as loops

    shape, dtype = (run.samples(x, ptr), x.shape[1]), run.accumulated(x)
    means, tops = pages.empty(shape, dtype, x), pages.empty(shape, dtype, x)
    ties = pages.empty(shape if keep else (0, shape[1]), dtype, x)
    totals = x.new_empty(shape[0], dtype=torch.float64)
    held, given = run.held(measure, x), (means.numpy(), tops.numpy(), ties.numpy(), totals.numpy())
    run.forward(
        x,
        ptr,
        (3, x.shape[1]),
        lambda *place: loops.mean_max_rows(*place[:-2], held, *given, *place[-2:]),
        lambda slices, pieces, counts: loops.join_mean_max(slices, pieces, counts, *given),
        lambda *place: loops.mean_max_lines(*place, held, *given),
    )
    return means, tops, ties, totals


@torch.library.custom_op("globalpool::mean_max_gradient", mutates_args=(), device_types="cpu")
def mean_max_gradient(
    x: Tensor, ptr: Tensor | None, measure: Tensor | None, tops: Tensor, levels: Tensor, shares: Tensor
) -> Tensor:
    """``w level``, and ``share`` at the positions that reach a finite maximum, shaped like ``x``."""
    from globalpool.kernels import loops_mean_max as loops

    held = run.held(measure, x)
    given = [part.detach().contiguous().numpy() for part in (tops, levels, shares)]
    return run.backward(
        x,
        ptr,
        lambda *place: loops.mean_max_gradient_rows(*place[:6], held, *given, *place[6:]),
        lambda *place: loops.mean_max_gradient_lines(*place[:6], held, *given, *place[6:]),
    )


def plain(x: Tensor, ptr: Tensor | None, measure: Tensor | None, tops: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, and the maximum as a sum over the positions that reach it, in torch's own operations."""
    weights = None if measure is None else measure.unsqueeze(1)
    mean = operators_sum.plain(x, ptr, weights, True, True)[0].squeeze(1)
    return mean, operators_max.plain(x, ptr, measure, tops)


@mean_and_max.register_fake
def _(x: Tensor, ptr: Tensor | None, measure: Tensor | None, keep: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = (run.samples(x, ptr), x.shape[1])
    mean = x.new_empty(shape, dtype=run.accumulated(x))
    ties = mean.new_empty(shape if keep else (0, shape[1]))
    return mean, torch.empty_like(mean), ties, x.new_empty(shape[0], dtype=torch.float64)


@mean_max_gradient.register_fake
def _(x: Tensor, ptr: Tensor | None, measure: Tensor | None, tops: Tensor, levels: Tensor, shares: Tensor) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:3], *output[1:])


def _gradients(ctx: Any, by_mean: Tensor, by_top: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    x, ptr, measure, tops, ties, totals = ctx.saved_tensors
    if torch.is_grad_enabled():
        (own,) = second.through(lambda: plain(x, ptr, measure, tops.detach()), (x,), (by_mean, by_top))
        return own, None, None, None
    levels = by_mean / torch.where(totals > 0, totals, 1).to(by_mean.dtype).unsqueeze(1)
    return mean_max_gradient(x, ptr, measure, tops, levels, by_top / ties.clamp(min=1)), None, None, None


mean_and_max.register_autograd(_gradients, setup_context=_keep)
