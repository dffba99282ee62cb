"""The terms of exponential pools: of one value, of one row, and what they add up to."""

import math
from typing import Any

import numpy as np

from globalpool.kernels.compiled import inlined, widen
from globalpool.kernels.elementary import expm1_pair, exponential, log1p, logarithm
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
def term(value: Any, kind: int, floor: Any, rate: Any, base: Any) -> Any:
    """One value's part in mass and rest: ``e`` and ``e - 1``, or ``e`` and ``e x`` for the softmax-weighted mean."""
    if kind == POWER:
        return expm1_pair(rate * logarithm(seen(value, POWER, floor) * base))
    if kind == SOFTMAX:
        e = exponential(rate * (value - base))
        return e, e * value
    return expm1_pair(rate * (seen(value, kind, floor) - base))


@inlined
def add_row(a: Any, weight: Any, kind: int, power: int, floor: Any, rate: Any, base: Any, mass: Any, rest: Any) -> None:
    """One row under its weight into ``mass (C,)`` and ``rest (C,)``."""
    channels = base.shape[0]
    if kind == POWER and power:
        for c in range(channels):
            mass[c] += weight * whole_power(seen(widen(a[c]), POWER, floor) * base[c], power)
    elif kind == POWER:
        for c in range(channels):
            e, more = term(widen(a[c]), POWER, floor, rate[c], base[c])
            mass[c] += weight * e
            rest[c] += weight * more
    elif kind == SOFTMAX:
        for c in range(channels):
            e, more = term(widen(a[c]), SOFTMAX, floor, rate[c], base[c])
            mass[c] += weight * e
            rest[c] += weight * more
    elif kind == LOG_MEAN_EXP:
        for c in range(channels):
            e, more = term(widen(a[c]), LOG_MEAN_EXP, floor, rate[c], base[c])
            mass[c] += weight * e
            rest[c] += weight * more
    else:
        for c in range(channels):
            e, more = term(widen(a[c]), SMOOTH_MINIMUM, floor, rate[c], base[c])
            mass[c] += weight * e
            rest[c] += weight * more


@inlined
def _four(
    a: Any, b: Any, d: Any, f: Any, p: Any, q: Any, u: Any, v: Any, kind: int, floor: Any, rate: Any, base: Any
) -> Any:
    e0, r0 = term(widen(a), kind, floor, rate, base)
    e1, r1 = term(widen(b), kind, floor, rate, base)
    e2, r2 = term(widen(d), kind, floor, rate, base)
    e3, r3 = term(widen(f), kind, floor, rate, base)
    return (p * e0 + q * e1) + (u * e2 + v * e3), (p * r0 + q * r1) + (u * r2 + v * r3)


@inlined
def add_rows(
    a: Any, b: Any, d: Any, f: Any, p: Any, q: Any, u: Any, v: Any, kind: int, floor: Any, rate: Any, base: Any,
    mass: Any, rest: Any,
) -> None:  # fmt: skip
    """Four rows at once under their weights: mass and rest are then read and written a quarter as often."""
    channels = base.shape[0]
    if kind == POWER:
        for c in range(channels):
            e, more = _four(a[c], b[c], d[c], f[c], p, q, u, v, POWER, floor, rate[c], base[c])
            mass[c] += e
            rest[c] += more
    elif kind == SOFTMAX:
        for c in range(channels):
            e, more = _four(a[c], b[c], d[c], f[c], p, q, u, v, SOFTMAX, floor, rate[c], base[c])
            mass[c] += e
            rest[c] += more
    elif kind == LOG_MEAN_EXP:
        for c in range(channels):
            e, more = _four(a[c], b[c], d[c], f[c], p, q, u, v, LOG_MEAN_EXP, floor, rate[c], base[c])
            mass[c] += e
            rest[c] += more
    else:
        for c in range(channels):
            e, more = _four(a[c], b[c], d[c], f[c], p, q, u, v, SMOOTH_MINIMUM, floor, rate[c], base[c])
            mass[c] += e
            rest[c] += more


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
def raise_row(highest: Any, count: float, kind: int, rate: Any, top: Any, base: Any, mass: Any, rest: Any) -> None:
    """The channels' maxima become ``highest``, and mass and rest relative to it; not for whole powers."""
    zero = top.dtype.type(0)
    if count != 0:
        for c in range(top.shape[0]):
            rises = highest[c] > top[c] or highest[c] != highest[c]
            z = logarithm(top[c] / highest[c]) if kind == POWER else top[c] - highest[c]
            e, drop = expm1_pair(rate[c] * z if rises else zero)
            rest[c] = rest[c] * e + (zero if kind == SOFTMAX else count * drop)
            mass[c] *= e
    for c in range(top.shape[0]):
        top[c] = highest[c]
        base[c] = relative_to(top[c], kind, zero)


@inlined
def finish_row(top: Any, mass: Any, rest: Any, count: float, rate: Any, kind: int, power: int, out: Any) -> None:
    """The pooled values of a sample's channels, in the precision of ``out``."""
    least, small = 1e-30 * count, 0
    for c in range(out.shape[0]):
        small |= mass[c] <= least
    # Measures of very different sizes can push ratios out of float32's range.
    if power or small:
        for c in range(out.shape[0]):
            out[c] = finished(np.float64(top[c]), mass[c], rest[c], count, np.float64(rate[c]), kind, power)
        return
    kept = out.dtype.type
    if kind == SOFTMAX:
        for c in range(out.shape[0]):
            out[c] = rest[c] / mass[c]
    elif kind == POWER:
        for c in range(out.shape[0]):
            out[c] = top[c] * exponential(_level(kept(rest[c] / count), kept(mass[c] / count)) / rate[c])
    else:
        sign = -1.0 if kind == SMOOTH_MINIMUM else 1.0
        for c in range(out.shape[0]):
            level = np.float64(_level(kept(rest[c] / count), kept(mass[c] / count)))
            out[c] = sign * (np.float64(top[c]) + level / np.float64(rate[c]))


@inlined
def _level(drop: Any, mean: Any) -> Any:
    """``log(mean)`` with ``mean = 1 + drop``, from whichever has the digits."""
    far = drop <= -0.5  # NaN is near: only that way it comes out again
    near_level, far_level = log1p(drop - drop if far else drop), logarithm(mean)
    return far_level if far else near_level


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
    value = top + level / rate
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
