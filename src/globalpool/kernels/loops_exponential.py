"""Means of exponentials, of powers, and softmax-weighted means of each channel, one read of the features.

A block of rows is looked at twice while it is in the cache: for its maximum, then for its terms relative to the
largest value so far, so that nothing overflows. ``kind``: see below; ``power``: the exponent where it is a small whole
number, else 0.
"""

import math
from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled, inlined, row, widen
from globalpool.kernels.elementary import expm1_pair, exponential, logarithm

#: ``log mean exp``; the same of ``-x``; softmax-weighted mean; ``(mean max(x, floor)^p)^(1/p)``.
LOG_MEAN_EXP, SMOOTH_MINIMUM, SOFTMAX, POWER = 0, 1, 2, 3
BLOCK = 32


@inlined
def seen(value: Any, kind: int, floor: Any) -> Any:
    """The value whose maximum the terms are relative to."""
    if kind == POWER:
        return floor if value < floor else value
    return -value if kind == SMOOTH_MINIMUM else value


@inlined
def whole_power(base: Any, power: int) -> Any:
    """``base ** power`` for 1 to 4, by products; 1 for 0."""
    if power == 0:
        return base / base
    if power == 1:
        return base
    square = base * base
    return square if power == 2 else square * base if power == 3 else square * square


@inlined
def shrink(before: float, after: float, rate: float, kind: int) -> float:
    """The exponent by which terms shrink when the largest value rises from ``before`` to ``after``."""
    if before == after:
        return 0.0
    return rate * (math.log(before / after) if kind == POWER else before - after)


@inlined
def relative_to(top: Any, kind: int, zero: Any) -> Any:
    """What a value is taken relative to: the maximum (0 where that is -inf), or its inverse for powers."""
    if kind == POWER:
        return 1 / top
    return zero if top == -np.inf else top


@inlined
def add_terms(
    a: Any, weight: float, kind: int, power: int, floor: Any, rate: Any, base: Any, mass: Any, rest: Any
) -> None:
    """One row: ``mass += w e``, and ``rest += w (e - 1)``, or ``w e x`` for the softmax-weighted mean."""
    for c in range(base.shape[0]) if kind == POWER and power else range(0):
        mass[c] += weight * np.float64(whole_power(seen(widen(a[c]), POWER, floor) * base[c], power))
    for c in range(base.shape[0]) if kind == POWER and not power else range(0):
        e, drop = expm1_pair(rate[c] * logarithm(seen(widen(a[c]), POWER, floor) * base[c]))
        mass[c] += weight * np.float64(e)
        rest[c] += weight * np.float64(drop)
    for c in range(base.shape[0]) if kind == SOFTMAX else range(0):
        value = widen(a[c])
        e = weight * np.float64(exponential(rate[c] * (value - base[c])))
        mass[c] += e
        rest[c] += e * np.float64(value)
    for c in range(base.shape[0]) if kind == LOG_MEAN_EXP else range(0):
        e, drop = expm1_pair(rate[c] * (widen(a[c]) - base[c]))
        mass[c] += weight * np.float64(e)
        rest[c] += weight * np.float64(drop)
    for c in range(base.shape[0]) if kind == SMOOTH_MINIMUM else range(0):
        e, drop = expm1_pair(rate[c] * (-widen(a[c]) - base[c]))
        mass[c] += weight * np.float64(e)
        rest[c] += weight * np.float64(drop)


@inlined
def finish(top: float, mass: float, rest: float, count: float, rate: float, kind: int, power: int) -> float:
    """The pooled value of one channel."""
    if count == 0:
        return 0.0
    if kind == SOFTMAX:
        return rest / mass if mass != 0 else rest
    if kind == POWER and power:
        return top * (mass / count) ** (1 / rate)
    drop = rest / count
    logarithm_of_mean = math.log1p(drop) if drop > -0.5 else math.log(mass / count)
    if kind == POWER:
        return top * math.exp(logarithm_of_mean / rate)
    value = (0.0 if top == -np.inf else top) + logarithm_of_mean / rate
    return -value if kind == SMOOTH_MINIMUM else value


@inlined
def raise_top(
    c: int, highest: Any, count: float, kind: int, power: int, rate: Any, top: Any, base: Any, mass: Any, rest: Any
) -> None:
    """A channel's terms so far, made relative to a larger value."""
    if highest > top[c] or highest != highest:
        if count > 0:
            factor = shrink(np.float64(top[c]), np.float64(highest), np.float64(rate[c]), kind)
            mass[c] *= math.exp(factor)
            rest[c] *= math.exp(factor)
            if kind != SOFTMAX and not power:
                rest[c] += count * math.expm1(factor)
        top[c] = highest
        base[c] = relative_to(top[c], kind, type(base[c])(0))


@compiled
def exponential_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, weights: Any, rate: Any,
    kind: int, power: int, floor: Any, out: Any, tops: Any, masses: Any, pieces: Any, counts: Any,
) -> None:  # fmt: skip
    """``out``, ``tops`` and ``masses`` ``(N, C)``; ``rate (C,)``; ``pieces (K, 3, C)`` and ``counts (K,)``."""
    channels = out.shape[1]
    top, base, highest = np.empty(channels, out.dtype), np.empty(channels, out.dtype), np.empty(channels, out.dtype)
    mass, rest = np.empty(channels), np.empty(channels)
    for s in range(first, last):
        sample, start, stop, piece = slices[s, 0], slices[s, 1], slices[s, 2], slices[s, 3]
        top[:] = -np.inf
        mass[:] = 0
        rest[:] = 0
        count = 0.0
        for begin in range(start, stop, BLOCK):
            end = min(begin + BLOCK, stop)
            highest[:] = top
            present = 0
            for t in range(begin, end):
                if weights.shape[0] and weights[t] == 0:
                    continue
                present += 1
                a = row(x, sample * skew + t * stride, channels)
                for c in range(channels):
                    value = seen(widen(a[c]), kind, floor)
                    highest[c] = value if not value <= highest[c] else highest[c]
            if not present:
                continue
            if count == 0:
                for c in range(channels):
                    top[c] = highest[c]
                    base[c] = relative_to(top[c], kind, out.dtype.type(0))
            else:
                for c in range(channels):
                    raise_top(c, highest[c], count, kind, power, rate, top, base, mass, rest)
            for t in range(begin, end):
                weight = np.float64(weights[t]) if weights.shape[0] else 1.0
                if weight != 0:
                    a = row(x, sample * skew + t * stride, channels)
                    add_terms(a, weight, kind, power, floor, rate, base, mass, rest)
                    count += weight
        if piece < 0:
            for c in range(channels):
                out[sample, c] = finish(top[c], mass[c], rest[c], count, rate[c], kind, power)
                tops[sample, c], masses[sample, c] = top[c], mass[c]
        else:
            pieces[piece, 0], pieces[piece, 1], pieces[piece, 2], counts[piece] = top, mass, rest, count
