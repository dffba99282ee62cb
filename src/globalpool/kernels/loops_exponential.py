"""Means of exponentials, of powers, and softmax-weighted means of each channel, one read of the features.

A block of rows is looked at twice while it is in the cache: for its maximum, then for its terms relative to the
largest value so far, so that nothing overflows.
"""

from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled, inlined, narrow, row, widen
from globalpool.kernels.kinds import POWER
from globalpool.kernels.loops_max import line_max
from globalpool.kernels.terms import add_line, add_row, finished, raised, relative_to, seen, slope

#: Numbers in a block, which stay in the cache; rows whose terms are added in the features' own precision.
BLOCK, SHORT = 1 << 15, 32


@inlined
def _raise(
    highest: Any, count: float, kind: int, power: int, rate: Any, top: Any, base: Any, mass: Any, rest: Any
) -> None:
    for c in range(top.shape[0]):
        if count == 0 or highest[c] > top[c] or highest[c] != highest[c]:
            mass[c], rest[c] = raised(
                mass[c], rest[c], count, kind, power, np.float64(rate[c]), np.float64(top[c]), np.float64(highest[c])
            )
            top[c] = highest[c]
            base[c] = relative_to(top[c], kind, top[c] - top[c] if top[c] > -np.inf else base[c] * 0)


@compiled
def exponential_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, measure: Any, rate: Any,
    kind: int, power: int, floor: Any, out: Any, tops: Any, masses: Any, totals: Any, pieces: Any, counts: Any,
) -> None:  # fmt: skip
    """``out``, ``tops``, ``masses (N, C)``, ``totals (N,)``; ``rate (C,)``; ``pieces (K, 3, C)``, ``counts (K,)``."""
    channels = out.shape[1]
    block = max(SHORT, BLOCK // channels)
    top, base, highest = np.empty(channels, out.dtype), np.empty(channels, out.dtype), np.empty(channels, out.dtype)
    near_mass, near_rest = np.empty(channels, out.dtype), np.empty(channels, out.dtype)
    mass, rest = np.empty(channels), np.empty(channels)
    for s in range(first, last):
        sample, start, stop, piece = slices[s, 0], slices[s, 1], slices[s, 2], slices[s, 3]
        top[:] = -np.inf
        base[:] = 0
        mass[:] = 0
        rest[:] = 0
        count = 0.0
        for begin in range(start, stop, block):
            end = min(begin + block, stop)
            highest[:] = top
            present = 0
            for t in range(begin, end):
                if not measure.shape[0] or measure[t] != 0:
                    present += 1
                    a = row(x, sample * skew + t * stride, channels)
                    for c in range(channels):
                        value = seen(widen(a[c]), kind, floor)
                        highest[c] = highest[c] if value <= highest[c] else value
            if present:
                _raise(highest, count, kind, power, rate, top, base, mass, rest)
            for near in range(begin, end if present else begin, SHORT):
                near_mass[:] = 0
                near_rest[:] = 0
                for t in range(near, min(near + SHORT, end)):
                    weight = measure[t] if measure.shape[0] else out.dtype.type(1)
                    if weight != 0:
                        a = row(x, sample * skew + t * stride, channels)
                        add_row(a, weight, kind, power, floor, rate, base, near_mass, near_rest)
                        count += weight
                for c in range(channels):
                    mass[c] += np.float64(near_mass[c])
                    rest[c] += np.float64(near_rest[c])
        if piece < 0:
            totals[sample] = count
            for c in range(channels):
                out[sample, c] = finished(np.float64(top[c]), mass[c], rest[c], count, np.float64(rate[c]), kind, power)
                tops[sample, c], masses[sample, c] = top[c], mass[c]
        else:
            pieces[piece, 0], pieces[piece, 1], pieces[piece, 2], counts[piece] = top, mass, rest, count


@compiled
def join_exponentials(
    slices: Any,
    pieces: Any,
    counts: Any,
    rate: Any,
    kind: int,
    power: int,
    out: Any,
    tops: Any,
    masses: Any,
    totals: Any,
) -> None:
    """Pieces of long samples joined in their order."""
    s = 0
    while s < slices.shape[0]:
        if slices[s, 3] < 0:
            s += 1
            continue
        sample, begin = slices[s, 0], s
        while s < slices.shape[0] and slices[s, 0] == sample:
            s += 1
        for c in range(out.shape[1]):
            own, top, mass, rest, count = np.float64(rate[c]), -np.inf, 0.0, 0.0, 0.0
            for place in range(begin, s):
                piece = slices[place, 3]
                if counts[piece] > 0:
                    other, more, others = pieces[piece, 0, c], pieces[piece, 1, c], pieces[piece, 2, c]
                    higher = other if other > top or other != other else top
                    mass, rest = raised(mass, rest, count, kind, power, own, top, higher)
                    more, others = raised(more, others, counts[piece], kind, power, own, other, higher)
                    top, mass, rest, count = higher, mass + more, rest + others, count + counts[piece]
            out[sample, c] = finished(top, mass, rest, count, own, kind, power)
            tops[sample, c], masses[sample, c], totals[sample] = top, mass, count


@compiled
def exponential_lines(
    x: Any, sample: int, channel: int, length: int, first: int, last: int, measure: Any, rate: Any,
    kind: int, power: int, floor: Any, out: Any, tops: Any, masses: Any, totals: Any,
) -> None:  # fmt: skip
    """The same for lines; ``measure`` flat ``(N, P)``."""
    channels, size = out.shape[1], min(length, BLOCK // 8)
    one, lowest = out.dtype.type(1), out.dtype.type(-np.inf)
    held, weights = np.empty(size, out.dtype), np.ones(size, out.dtype)
    near_mass, near_rest = np.empty(size, out.dtype), np.empty(size, out.dtype)
    absent = floor if kind == POWER else lowest
    for line in range(first, last):
        n, c = line // channels, line % channels
        top, base, mass, rest, count = lowest, out.dtype.type(0), 0.0, 0.0, 0.0
        for begin in range(0, length, size):
            part = min(size, length - begin)
            a = row(x, n * sample + c * channel + begin, part)
            if measure.shape[0]:
                w = row(measure, n * length + begin, part)
                more = 0.0
                for p in range(part):
                    held[p] = seen(widen(a[p]), kind, floor) if w[p] != 0 else absent
                    weights[p] = w[p]
                    more += np.float64(w[p])
                if more == 0:
                    continue
            else:
                more = float(part)
                for p in range(part):
                    held[p] = seen(widen(a[p]), kind, floor)
            highest = line_max(held[:part], measure[:0], one, lowest)
            higher = top if highest <= top else highest
            mass, rest = raised(
                mass, rest, count, kind, power, np.float64(rate[c]), np.float64(top), np.float64(higher)
            )
            top, base = higher, out.dtype.type(relative_to(higher, kind, out.dtype.type(0)))
            masses_more, rest_more = add_line(
                held[:part], weights[:part], kind, power, rate[c], base, near_mass, near_rest
            )
            mass += masses_more
            rest += rest_more
            count += more
        out[n, c] = finished(np.float64(top), mass, rest, count, np.float64(rate[c]), kind, power)
        tops[n, c], masses[n, c], totals[n] = top, mass, count


@compiled
def exponential_gradient_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, measure: Any, rate: Any,
    kind: int, power: int, floor: Any, pooled: Any, bases: Any, factors: Any, out: Any, out_stride: int, out_skew: int,
) -> None:  # fmt: skip
    """``factors (N, C)`` times each position's measure and slope; 0 at absent positions."""
    channels = pooled.shape[1]
    for s in range(first, last):
        sample, start, stop = slices[s, 0], slices[s, 1], slices[s, 2]
        for t in range(start, stop):
            a = row(x, sample * skew + t * stride, channels)
            b = row(out, sample * out_skew + t * out_stride, channels)
            weight = measure[t] if measure.shape[0] else pooled.dtype.type(1)
            if weight == 0:
                for c in range(channels):
                    b[c] = narrow(pooled.dtype.type(0), b)
                continue
            for c in range(channels):
                own = slope(widen(a[c]), kind, power, floor, rate[c], bases[sample, c], pooled[sample, c])
                b[c] = narrow(weight * factors[sample, c] * own, b)


@compiled
def exponential_gradient_lines(
    x: Any, sample: int, channel: int, length: int, first: int, last: int, measure: Any, rate: Any,
    kind: int, power: int, floor: Any, pooled: Any, bases: Any, factors: Any, out: Any, out_sample: int,
    out_channel: int,
) -> None:  # fmt: skip
    """The same for lines."""
    channels = pooled.shape[1]
    for line in range(first, last):
        n, c = line // channels, line % channels
        a, b = row(x, n * sample + c * channel, length), row(out, n * out_sample + c * out_channel, length)
        y, base, factor = pooled[n, c], bases[n, c], factors[n, c]
        for p in range(length):
            weight = measure[n * length + p] if measure.shape[0] else pooled.dtype.type(1)
            own = slope(widen(a[p]), kind, power, floor, rate[c], base, y)
            b[p] = narrow(weight * factor * own if weight != 0 else pooled.dtype.type(0), b)
