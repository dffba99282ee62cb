"""The terms of exponential pools: of one value, of one row, and what they add up to."""

import math
from typing import Any

import numpy as np

from globalpool.kernels.compiled import inlined, widen
from globalpool.kernels.elementary import expm1_pair, exponential, logarithm
from globalpool.kernels.kinds import LOG_MEAN_EXP, POWER, SMOOTH_MINIMUM, SOFTMAX


@inlined
def seen(value: Any, kind: int, floor: Any) -> Any:
    """The value whose maximum the terms are relative to."""
    if kind == POWER:
        return floor if value < floor else value
    return -value if kind == SMOOTH_MINIMUM else value


@inlined
def relative_to(top: Any, kind: int, zero: Any) -> Any:
    """What a value is taken relative to: the maximum (0 where that is -inf), or its inverse for powers."""
    if kind == POWER:
        return 1 / top
    return zero if top == -np.inf else top


@inlined
def whole_power(base: Any, power: int) -> Any:
    """``base ** power`` for 1 to 4, by products."""
    square = base * base
    return base if power == 1 else square if power == 2 else square * base if power == 3 else square * square


@inlined
def add_row(a: Any, weight: Any, kind: int, power: int, floor: Any, rate: Any, base: Any, mass: Any, rest: Any) -> None:
    """One row: ``mass += w e``, and ``rest += w (e - 1)``, or ``w e x`` for the softmax-weighted mean."""
    channels = base.shape[0]
    if kind == POWER and power:
        for c in range(channels):
            mass[c] += weight * whole_power(seen(widen(a[c]), POWER, floor) * base[c], power)
    elif kind == POWER:
        for c in range(channels):
            e, drop = expm1_pair(rate[c] * logarithm(seen(widen(a[c]), POWER, floor) * base[c]))
            mass[c] += weight * e
            rest[c] += weight * drop
    elif kind == SOFTMAX:
        for c in range(channels):
            e = weight * exponential(rate[c] * (widen(a[c]) - base[c]))
            mass[c] += e
            rest[c] += e * widen(a[c])
    elif kind == LOG_MEAN_EXP:
        for c in range(channels):
            e, drop = expm1_pair(rate[c] * (widen(a[c]) - base[c]))
            mass[c] += weight * e
            rest[c] += weight * drop
    else:
        for c in range(channels):
            e, drop = expm1_pair(rate[c] * (-widen(a[c]) - base[c]))
            mass[c] += weight * e
            rest[c] += weight * drop


@inlined
def add_line(held: Any, weights: Any, kind: int, power: int, rate: Any, base: Any, masses: Any, rests: Any) -> Any:
    """What a line of values ``seen`` adds to mass and rest under ``weights``; ``masses`` and ``rests`` are scratch.

    Terms first and their sums after: the compiler does not see through both at once.
    """
    length = held.shape[0]
    if kind == POWER and power:
        for p in range(length):
            masses[p] = weights[p] * whole_power(held[p] * base, power)
            rests[p] = weights[p] * 0
    elif kind == POWER:
        for p in range(length):
            e, drop = expm1_pair(rate * logarithm(held[p] * base))
            masses[p] = weights[p] * e
            rests[p] = weights[p] * drop
    elif kind == SOFTMAX:
        for p in range(length):
            e = weights[p] * exponential(rate * (held[p] - base))
            masses[p] = e
            rests[p] = e * held[p] if weights[p] != 0 else e * 0
    else:
        for p in range(length):
            e, drop = expm1_pair(rate * (held[p] - base))
            masses[p] = weights[p] * e
            rests[p] = weights[p] * drop
    return _total(masses[:length]), _total(rests[:length])


@inlined
def _total(values: Any) -> float:
    total = 0.0
    for p in range(values.shape[0]):
        total += np.float64(values[p])
    return total


@inlined
def raised(
    mass: float, rest: float, count: float, kind: int, power: int, rate: float, before: float, after: float
) -> Any:
    """Mass and rest relative to ``before``, made relative to the larger value ``after``."""
    if count == 0 or before == after:
        return mass, rest
    exponent = rate * (math.log(before / after) if kind == POWER else before - after)
    factor = math.exp(exponent)
    if kind == SOFTMAX or power:
        return mass * factor, rest * factor
    return mass * factor, rest * factor + count * math.expm1(exponent)


@inlined
def finished(top: float, mass: float, rest: float, count: float, rate: float, kind: int, power: int) -> Any:
    """The pooled value of one channel."""
    if count == 0:
        return 0.0
    if kind == SOFTMAX:
        return rest / mass if mass != 0 else rest
    if kind == POWER and power:
        return top * (mass / count) ** (1 / rate)
    drop = rest / count
    level = math.log1p(drop) if drop > -0.5 else math.log(mass / count)
    if kind == POWER:
        return top * math.exp(level / rate)
    value = (0.0 if top == -np.inf else top) + level / rate
    return -value if kind == SMOOTH_MINIMUM else value


@inlined
def slope(value: Any, kind: int, power: int, floor: Any, rate: Any, base: Any, pooled: Any) -> Any:
    """The derivative by one value, up to the channel's factor and the weight of the position."""
    held = seen(value, kind, floor)
    if kind == POWER:
        if value < floor:
            return value * 0
        ratio = held * base
        if power == 1:
            return ratio / ratio
        return whole_power(ratio, power - 1) if power else exponential((rate - 1) * logarithm(ratio))
    e = exponential(rate * (held - base))
    return e * (1 + rate * (value - pooled)) if kind == SOFTMAX else e
