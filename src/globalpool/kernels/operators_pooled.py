"""What the operators of max, moments and exponentials share: the loops run over whatever layout the features have."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from globalpool.kernels import reference


def samples(x: Tensor, ptr: Tensor | None) -> int:
    """N of ragged ``(T, C)`` with ``ptr (N + 1,)`` or dense ``(N, C, P)``."""
    return x.shape[0] if ptr is None else ptr.shape[0] - 1


def accumulated(x: Tensor) -> torch.dtype:
    """The dtype in which pooled values are kept."""
    return reference.accumulation_dtype(x.dtype)


def held(measure: Tensor | None, like: Tensor) -> Any:
    """A measure as a flat array in the accumulation dtype; length 0 for None."""
    if measure is None:
        return like.new_empty(0, dtype=accumulated(like)).numpy()
    from globalpool.kernels import memory

    return memory.written_out(measure.detach().to(accumulated(like)))


def forward(
    x: Tensor,
    ptr: Tensor | None,
    state: tuple[int, ...],
    by_rows: Callable[..., None],
    join: Callable[..., None],
    by_lines: Callable[..., None],
    *,
    samples: bool = False,
) -> None:
    """Run a pooling loop: ``by_rows(x, stride, skew, slices, first, last, pieces, counts)`` or by lines.

    ``state``: the shape of what one piece of a long sample gives, ``(*, C)``. ``join(slices, pieces, counts)`` is
    called where there are such pieces; ``by_lines(x, sample, channel, length, first, last)`` for dense lines,
    numbered by sample and channel or, where ``samples``, by sample alone.
    """
    from globalpool.kernels import memory, threads

    x = memory.readable(x.detach())
    if memory.in_lines(x):
        lines = memory.Lines.of(x)
        runs = [(n, n + 1) for n in range(x.shape[0])] if samples else memory.runs(x)
        threads.share_out(len(runs), lambda k: by_lines(lines.array, lines.sample, lines.channel, x.shape[2], *runs[k]))
        return
    rows, plan = memory.Rows.of(x), memory.plan(x, ptr)
    pieces, counts = memory.scratch(plan, *state), memory.scratch(plan)
    threads.share_out(
        len(plan.runs),
        lambda k: by_rows(rows.array, rows.stride, rows.skew, plan.slices, *plan.runs[k], pieces, counts),
    )
    if plan.pieces:
        join(plan.slices, pieces, counts)


def backward(x: Tensor, ptr: Tensor | None, by_rows: Callable[..., None], by_lines: Callable[..., None]) -> Tensor:
    """Run a gradient loop and return what it wrote: a tensor like ``x``.

    ``by_rows(x, stride, skew, slices, first, last, out, stride, skew)``;
    ``by_lines(x, sample, channel, length, first, last, out, sample, channel)``.
    """
    from globalpool.kernels import memory, threads

    x = memory.readable(x.detach())
    out = memory.like(x)
    if memory.in_lines(x):
        a, b, runs = memory.Lines.of(x), memory.Lines.of(out), memory.runs(x)
        threads.share_out(
            len(runs),
            lambda k: by_lines(a.array, a.sample, a.channel, x.shape[2], *runs[k], b.array, b.sample, b.channel),
        )
        return out
    r, w, plan = memory.Rows.of(x), memory.Rows.of(out), memory.plan(x, ptr)
    threads.share_out(
        len(plan.runs),
        lambda k: by_rows(r.array, r.stride, r.skew, plan.slices, *plan.runs[k], w.array, w.stride, w.skew),
    )
    return out
