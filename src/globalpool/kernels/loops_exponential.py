"""Means of exponentials, of powers, and softmax-weighted means of each channel, one read of the features.

A block of rows is looked at twice while it is in the cache: for its maximum, then for its terms relative to the
largest value so far, so that nothing overflows.
"""

from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled, inlined, row, widen
from globalpool.kernels.kinds import POWER, SMOOTH_MINIMUM
from globalpool.kernels.loops_max import line_max
from globalpool.kernels.terms import (
    add_line,
    add_row,
    add_rows,
    finish_row,
    finished,
    raise_row,
    raised,
    relative_to,
    seen,
)

#: Numbers in a block, which stay in the nearest cache; rows whose terms are added in the features' own precision.
BLOCK, SHORT = 1 << 12, 32
#: Numbers of a line that are added side by side.
LANES = 64


@inlined
def _highest(
    x: Any, base: int, stride: int, begin: int, end: int, measure: Any, kind: int, floor: Any, highest: Any
) -> int:
    """Raise ``highest (C,)`` to the largest values of the rows that are there; returns how many are."""
    present, channels = 0, highest.shape[0]
    for t in range(begin, end):
        if not measure.shape[0] or measure[t] != 0:
            present += 1
            a = row(x, base + t * stride, channels)
            for c in range(channels):
                value = seen(widen(a[c]), kind, floor)
                highest[c] = highest[c] if value <= highest[c] else value
    return present


@inlined
def _add(
    x: Any, origin: int, stride: int, begin: int, end: int, measure: Any, kind: int, power: int, floor: Any, rate: Any,
    base: Any, near_mass: Any, near_rest: Any, mass: Any, rest: Any,
) -> float:  # fmt: skip
    """Add the terms of the rows that are there; returns the sum of their measures. ``near_*`` are scratch."""
    count = 0.0
    for near in range(begin, end, SHORT):
        near_mass[:] = 0
        near_rest[:] = 0
        last = min(near + SHORT, end)
        count += _add_short(
            x, origin, stride, near, last, measure, kind, power, floor, rate, base, near_mass, near_rest
        )
        for c in range(mass.shape[0]):
            mass[c] += np.float64(near_mass[c])
            rest[c] += np.float64(near_rest[c])
    return count


@inlined
def _add_short(
    x: Any, origin: int, stride: int, begin: int, end: int, measure: Any, kind: int, power: int, floor: Any, rate: Any,
    base: Any, mass: Any, rest: Any,
) -> float:  # fmt: skip
    t, count, channels, one = begin, 0.0, base.shape[0], base.dtype.type(1)
    while t < end:
        if t + 4 <= end and not power:
            p, q, u, v = one, one, one, one
            if measure.shape[0]:
                p, q, u, v = measure[t], measure[t + 1], measure[t + 2], measure[t + 3]
            if p != 0 and q != 0 and u != 0 and v != 0:
                a, b = row(x, origin + t * stride, channels), row(x, origin + (t + 1) * stride, channels)
                d, f = row(x, origin + (t + 2) * stride, channels), row(x, origin + (t + 3) * stride, channels)
                add_rows(a, b, d, f, p, q, u, v, kind, floor, rate, base, mass, rest)
                count += (np.float64(p) + np.float64(q)) + (np.float64(u) + np.float64(v))
                t += 4
                continue
        weight = measure[t] if measure.shape[0] else one
        if weight != 0:
            add_row(row(x, origin + t * stride, channels), weight, kind, power, floor, rate, base, mass, rest)
            count += weight
        t += 1
    return count


@compiled
def exponential_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, measure: Any, rate: Any,
    kind: int, power: int, floor: Any, out: Any, tops: Any, masses: Any, totals: Any, pieces: Any, counts: Any,
) -> None:  # fmt: skip
    """``out``, ``tops``, ``masses (N, C)``, ``totals (N,)``; ``rate (C,)``; ``pieces (K, 3, C)``, ``counts (K,)``.

    ``tops`` and ``masses`` of length 0 are not wanted.
    """
    channels = out.shape[1]
    block = max(16, BLOCK // channels)
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
        origin = sample * skew
        for begin in range(start, stop, block):
            end = min(begin + block, stop)
            highest[:] = top
            if not _highest(x, origin, stride, begin, end, measure, kind, floor, highest):
                continue
            if power:
                _raise_power(highest, count, power, rate, top, base, mass, rest)
            else:
                raise_row(highest, count, kind, rate, top, base, mass, rest)
            count += _add(
                x, origin, stride, begin, end, measure, kind, power, floor, rate, base, near_mass, near_rest, mass, rest
            )
        if piece < 0:
            totals[sample] = count
            finish_row(top, mass, rest, count, rate, kind, power, out[sample])
            if tops.shape[0]:
                tops[sample], masses[sample] = top, mass
        else:
            pieces[piece, 0], pieces[piece, 1], pieces[piece, 2], counts[piece] = top, mass, rest, count


@inlined
def _raise_power(highest: Any, count: float, power: int, rate: Any, top: Any, base: Any, mass: Any, rest: Any) -> None:
    for c in range(top.shape[0]):
        if count == 0 or highest[c] > top[c] or highest[c] != highest[c]:
            mass[c], rest[c] = raised(
                mass[c], rest[c], count, POWER, power, np.float64(rate[c]), np.float64(top[c]), np.float64(highest[c])
            )
            top[c], base[c] = highest[c], 1 / highest[c]


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
            out[sample, c], totals[sample] = finished(top, mass, rest, count, own, kind, power), count
            if tops.shape[0]:
                tops[sample, c], masses[sample, c] = top, mass


@inlined
def _add_lanes(a: Any, kind: int, floor: Any, rate: Any, base: Any, narrow: Any, mass: Any, rest: Any) -> Any:
    """Mass and rest of a line without a measure, read as rows of ``LANES`` numbers; ``narrow (4, LANES)``: scratch."""
    rates, bases = narrow[0], narrow[1]
    rates[:] = rate
    bases[:] = base
    mass[:] = 0
    rest[:] = 0
    whole = a.shape[0] // LANES * LANES
    _add(
        a, 0, LANES, 0, whole // LANES, rates[:0], kind, 0, floor, rates, bases, narrow[2], narrow[3], mass, rest
    )  # fmt: skip
    left = a.shape[0] - whole
    one = rates.dtype.type(1)
    add_row(row(a, whole, left), one, kind, 0, floor, rates[:left], bases[:left], mass[:left], rest[:left])
    total, more = 0.0, 0.0
    for lane in range(LANES):
        total += mass[lane]
        more += rest[lane]
    return total, more


@compiled
def exponential_lines(
    x: Any, sample: int, channel: int, length: int, first: int, last: int, measure: Any, rate: Any,
    kind: int, power: int, floor: Any, out: Any, tops: Any, masses: Any, totals: Any,
) -> None:  # fmt: skip
    """The same for lines; ``measure`` flat ``(N, P)``."""
    channels, size = out.shape[1], min(length, BLOCK)
    one, lowest = out.dtype.type(1), out.dtype.type(-np.inf)
    held, weights = np.empty(size, out.dtype), np.ones(size, out.dtype)
    near_mass, near_rest = np.empty(size, out.dtype), np.empty(size, out.dtype)
    narrow_lanes = np.empty((4, LANES), out.dtype)
    lane_mass, lane_rest = np.empty(LANES), np.empty(LANES)
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
                highest = line_max(held[:part], measure[:0], one, lowest)
            else:
                more = float(part)
                highest = line_max(a, measure[:0], -one if kind == SMOOTH_MINIMUM else one, lowest)
                highest = seen(highest, POWER, floor) if kind == POWER else highest
            higher = top if highest <= top else highest
            mass, rest = raised(
                mass, rest, count, kind, power, np.float64(rate[c]), np.float64(top), np.float64(higher)
            )
            top, base = higher, out.dtype.type(relative_to(higher, kind, out.dtype.type(0)))
            if measure.shape[0] or power:
                if not measure.shape[0]:
                    for p in range(part):
                        held[p] = seen(widen(a[p]), kind, floor)
                added, others = add_line(held[:part], weights[:part], kind, power, rate[c], base, near_mass, near_rest)
            else:
                added, others = _add_lanes(a, kind, floor, rate[c], base, narrow_lanes, lane_mass, lane_rest)
            mass += added
            rest += others
            count += more
        out[n, c] = finished(np.float64(top), mass, rest, count, np.float64(rate[c]), kind, power)
        totals[n] = count
        if tops.shape[0]:
            tops[n, c], masses[n, c] = top, mass
