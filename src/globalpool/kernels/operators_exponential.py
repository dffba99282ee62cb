"""``globalpool::exponential_mean`` and its gradient as torch operators: LogMeanExp, SoftmaxPool and GeM in one read."""

from typing import Any

import torch
from torch import Tensor

from globalpool.kernels import operators_pooled as run
from globalpool.kernels import pages, reference, second
from globalpool.kernels.kinds import LOG_MEAN_EXP, POWER, SMOOTH_MINIMUM, SOFTMAX

__all__ = ["LOG_MEAN_EXP", "POWER", "SMOOTH_MINIMUM", "SOFTMAX", "exponential_mean"]


@torch.library.custom_op("globalpool::exponential_mean", mutates_args=(), device_types="cpu")
def exponential_mean(
    x: Tensor, ptr: Tensor | None, measure: Tensor | None, rate: Tensor, kind: int, floor: float, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The pooled values ``(N, C)``; with ``keep`` what the gradient needs: maxima, masses ``(N, C)``, totals ``(N,)``.

    ``x``: ragged ``(T, C)`` with ``ptr (N + 1,)``, or dense ``(N, C, P)``; ``measure (T,)`` or ``(N, P)``;
    ``rate (C,)``, positive, not differentiated; ``kind`` and ``floor``: see ``kinds``. Zeros without positions.
    """
    from globalpool.kernels import loops_exponential as loops

    shape, dtype = (run.samples(x, ptr), x.shape[1]), run.accumulated(x)
    out, totals = pages.empty(shape, dtype, x), x.new_empty(shape[0], dtype=torch.float64)
    held, how = run.held(measure, x), _how(rate, kind, floor, dtype)
    if how[2] and x.dtype != torch.float64:
        _powers(x, ptr, held, how[2], how[3], out, totals)
        if keep:  # relative to the pooled value, of which there are as many as positions
            return out, out.clone(), totals.unsqueeze(1).repeat(1, shape[1]), totals
        return out, out.new_empty(0, shape[1]), totals.new_empty(0, shape[1]), totals
    kept = shape if keep else (0, shape[1])
    tops, masses = pages.empty(kept, dtype, x), pages.empty(kept, torch.float64, x)
    given = out.numpy(), tops.numpy(), masses.numpy(), totals.numpy()
    run.forward(
        x,
        ptr,
        (3, x.shape[1]),
        lambda *place: loops.exponential_rows(*place[:-2], held, *how, *given, *place[-2:]),
        lambda slices, pieces, counts: loops.join_exponentials(slices, pieces, counts, *how[:3], *given),
        lambda *place: loops.exponential_lines(*place, held, *how, *given),
    )
    return out, tops, masses, totals


def _powers(x: Tensor, ptr: Tensor | None, held: Any, power: int, floor: Any, out: Tensor, totals: Tensor) -> None:
    from globalpool.kernels import loops_power as loops

    given = out.numpy(), totals.numpy()
    run.forward(
        x,
        ptr,
        (1, x.shape[1]),
        lambda *place: loops.power_rows(*place[:-2], held, power, floor, *given, *place[-2:]),
        lambda slices, pieces, counts: loops.join_powers(slices, pieces, counts, power, *given),
        lambda *place: loops.power_lines(*place, held, power, floor, *given),
    )


@torch.library.custom_op("globalpool::exponential_gradient", mutates_args=(), device_types="cpu")
def exponential_gradient(
    x: Tensor, ptr: Tensor | None, measure: Tensor | None, rate: Tensor, kind: int, floor: float,
    pooled: Tensor, bases: Tensor, factors: Tensor,
) -> Tensor:  # fmt: skip
    """``factors (N, C)`` times the measure and the slope at each position, shaped like ``x``."""
    from globalpool.kernels import loops_exponential_gradient as loops

    held, how = run.held(measure, x), _how(rate, kind, floor, run.accumulated(x))
    given = [part.detach().contiguous().numpy() for part in (pooled, bases, factors)]
    return run.backward(
        x,
        ptr,
        lambda *place: loops.exponential_gradient_rows(*place[:6], held, *how, *given, *place[6:]),
        lambda *place: loops.exponential_gradient_lines(*place[:6], held, *how, *given, *place[6:]),
    )


def _how(rate: Tensor, kind: int, floor: float, dtype: torch.dtype) -> tuple[Any, int, int, Any]:
    """Rate, kind, exponent where that is a small whole number for all channels (else 0), and floor."""
    rates = rate.detach().to(dtype).contiguous().numpy()
    first = float(rates[0]) if len(rates) else 0.0
    whole = kind == POWER and first in (1, 2, 3, 4) and bool((rates == first).all())
    return rates, kind, int(first) if whole else 0, rates.dtype.type(floor)


def plain(x: Tensor, ptr: Tensor | None, measure: Tensor | None, rate: Tensor, kind: int, floor: float) -> Tensor:
    """``exponential_mean`` in torch's own operations."""
    x = x.to(run.accumulated(x))
    segment, count = (None, x.shape[0]) if ptr is None else (second.segments(ptr, x.shape[0]), ptr.shape[0] - 1)
    held = (x.new_ones((x.shape[0], *x.shape[2:])) if measure is None else measure.to(x.dtype)).unsqueeze(1)
    rate = rate.to(x.dtype)
    over = rate if ptr is not None else rate.unsqueeze(1)

    def total(values: Tensor) -> Tensor:
        return values.sum(2) if segment is None else reference.segment_sum(values, segment, count)

    def spread(pooled: Tensor) -> Tensor:
        return pooled.unsqueeze(2) if segment is None else pooled.index_select(0, segment)

    x = torch.where(held != 0, x, 0)
    values = x.clamp(min=floor) if kind == POWER else -x if kind == SMOOTH_MINIMUM else x
    masked = torch.where(held != 0, values.detach(), float("-inf"))
    top = masked.amax(2) if segment is None else reference.segment_max(masked, segment, count)
    top = torch.where(top == float("-inf"), 1 if kind == POWER else 0, top)
    relative = torch.log(values / spread(top)) if kind == POWER else values - spread(top)
    terms = held * torch.exp(torch.where(held != 0, over * relative, 0))
    whole = total(held.expand_as(terms))
    empty = whole == 0
    mass = torch.where(empty, 1, total(terms))
    if kind == SOFTMAX:
        return total(terms * x) / mass
    level = torch.log(mass / torch.where(empty, 1, whole)) / rate
    pooled = top * torch.exp(level) if kind == POWER else top + level
    return torch.where(empty, 0, -pooled if kind == SMOOTH_MINIMUM else pooled)


@exponential_mean.register_fake
def _(
    x: Tensor, ptr: Tensor | None, measure: Tensor | None, rate: Tensor, kind: int, floor: float, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = (run.samples(x, ptr), x.shape[1])
    kept, dtype = shape if keep else (0, shape[1]), run.accumulated(x)
    wide = x.new_empty(kept, dtype=torch.float64)
    return x.new_empty(shape, dtype=dtype), x.new_empty(kept, dtype=dtype), wide, wide.new_empty(shape[0])


@exponential_gradient.register_fake
def _(
    x: Tensor, ptr: Tensor | None, measure: Tensor | None, rate: Tensor, kind: int, floor: float,
    pooled: Tensor, bases: Tensor, factors: Tensor,
) -> Tensor:  # fmt: skip
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, ptr, measure, rate, ctx.kind, ctx.floor, _ = inputs
    ctx.save_for_backward(x, ptr, measure, rate, *output)


def _gradients(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    x, ptr, measure, rate, pooled, tops, masses, totals = ctx.saved_tensors
    kind, floor = ctx.kind, ctx.floor
    if torch.is_grad_enabled():
        (own,) = second.through(lambda: [plain(x, ptr, measure, rate, kind, floor)], (x,), (gradient,))
        return own, None, None, None, None, None, None
    total, mass = totals.unsqueeze(1), torch.where(masses == 0, 1, masses)
    if kind == POWER:
        level = torch.where(total > 0, mass / total, 1)
        factors = gradient.double() / torch.where(total > 0, total, 1) * level ** (1 / rate.double() - 1)
        bases = 1 / torch.where(tops > 0, tops, 1)
    else:
        factors, bases = gradient.double() / mass, torch.where(tops == float("-inf"), 0, tops)
    factors = factors.to(pooled.dtype)
    own = exponential_gradient(x, ptr, measure, rate, kind, floor, pooled.detach(), bases, factors)
    return own, None, None, None, None, None, None


exponential_mean.register_autograd(_gradients, setup_context=_keep)
