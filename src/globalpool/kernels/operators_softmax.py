"""``globalpool::softmax``: weights of ragged rows that sum to one over each sample, as a torch operator."""

from typing import Any

import torch
from torch import Tensor

from globalpool.kernels import reference, second


@torch.library.custom_op("globalpool::softmax", mutates_args=(), device_types="cpu")
def softmax(scores: Tensor, ptr: Tensor, measure: Tensor | None, rate: Tensor) -> Tensor:
    """Softmax of ``rate (R,) * scores (T, R)`` over the rows of each sample, counted by ``measure (T,)``.

    ``ptr (N + 1,)``; float32 or float64 throughout. Zeros in a sample without present rows.
    """
    from globalpool.kernels import loops_softmax, memory, threads

    scores = scores.contiguous()
    out = torch.empty_like(scores)
    held = (scores.new_empty(0) if measure is None else measure.detach().contiguous()).numpy()
    given, array, rates = scores.detach().numpy(), out.numpy(), rate.detach().to(scores.dtype).contiguous().numpy()
    runs, pointers = memory.sample_runs(scores, ptr)
    threads.share_out(len(runs), lambda k: loops_softmax.softmax_rows(given, pointers, *runs[k], held, rates, array))
    return out


@torch.library.custom_op("globalpool::softmax_gradient", mutates_args=(), device_types="cpu")
def softmax_gradient(weights: Tensor, gradient: Tensor, ptr: Tensor, rate: Tensor) -> Tensor:
    """The gradient of the scores ``(T, R)`` of ``softmax``, from its weights and their gradient."""
    from globalpool.kernels import loops_softmax, memory, threads

    weights, gradient = weights.contiguous(), gradient.contiguous()
    out = torch.empty_like(weights)
    given, slope, array = weights.detach().numpy(), gradient.detach().numpy(), out.numpy()
    rates = rate.detach().to(weights.dtype).contiguous().numpy()
    runs, pointers = memory.sample_runs(weights, ptr)
    threads.share_out(
        len(runs), lambda k: loops_softmax.softmax_gradient_rows(given, slope, pointers, *runs[k], rates, array)
    )
    return out


def plain(scores: Tensor, ptr: Tensor, measure: Tensor | None, rate: Tensor) -> Tensor:
    """``softmax`` in torch's own operations."""
    segment, samples = second.segments(ptr, scores.shape[0]), ptr.shape[0] - 1
    held = scores.new_ones(scores.shape[:1]) if measure is None else measure
    here = (held > 0).unsqueeze(1)
    top = reference.segment_max(torch.where(here, scores.detach(), float("-inf")), segment, samples)
    top = torch.where(top == float("-inf"), 0, top).index_select(0, segment)
    below = torch.where(here, scores - top, 0) * rate.to(scores.dtype)
    amounts = torch.exp(below) * held.unsqueeze(1)
    total = reference.segment_sum(amounts, segment, samples)
    return amounts / torch.where(total == 0, 1, total).index_select(0, segment)


@softmax.register_fake
def _(scores: Tensor, ptr: Tensor, measure: Tensor | None, rate: Tensor) -> Tensor:
    return torch.empty_like(scores, memory_format=torch.contiguous_format)


@softmax_gradient.register_fake
def _(weights: Tensor, gradient: Tensor, ptr: Tensor, rate: Tensor) -> Tensor:
    return torch.empty_like(weights, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs, output)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    scores, ptr, measure, rate, weights = ctx.saved_tensors
    if torch.is_grad_enabled():
        (own,) = second.through(lambda: [plain(scores, ptr, measure, rate)], (scores,), (gradient,))
        return own, None, None, None
    return softmax_gradient(weights, gradient, ptr, rate), None, None, None


softmax.register_autograd(_gradients, setup_context=_keep)
