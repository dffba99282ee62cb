"""Means of whole powers (p = 1 to 4) of narrow numbers, one read of the features.

In float64 no such power of a float32 leaves the range, so nothing has to be taken relative to a maximum first.
"""

from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled, inlined, row, widen
from globalpool.kernels.elementary import cube_root
from globalpool.kernels.kinds import POWER
from globalpool.kernels.terms import seen, whole_power


@inlined
def _root(mean: Any, power: int) -> Any:
    if power == 1:
        return mean
    if power == 3:
        return cube_root(mean) if 0 < mean < np.inf else mean  # NaN stays
    return np.sqrt(mean) if power == 2 else np.sqrt(np.sqrt(mean))


@inlined
def _roots(sums: Any, count: float, power: int, out: Any) -> None:
    """``(sum / count)^(1 / p)`` of each channel, one loop a power so that each can be taken many channels at a time."""
    scale = 1.0 / count if count > 0 else 0.0
    if power == 3:
        for c in range(out.shape[0]):
            out[c] = _root(sums[c] * scale, 3)
    elif power == 2:
        for c in range(out.shape[0]):
            out[c] = _root(sums[c] * scale, 2)
    elif power == 4:
        for c in range(out.shape[0]):
            out[c] = _root(sums[c] * scale, 4)
    else:
        for c in range(out.shape[0]):
            out[c] = sums[c] * scale


@inlined
def _add(a: Any, weight: float, power: int, floor: Any, sums: Any) -> None:
    if power == 3:
        for c in range(sums.shape[0]):
            sums[c] += weight * whole_power(np.float64(seen(widen(a[c]), POWER, floor)), 3)
    elif power == 2:
        for c in range(sums.shape[0]):
            sums[c] += weight * whole_power(np.float64(seen(widen(a[c]), POWER, floor)), 2)
    else:
        for c in range(sums.shape[0]):
            sums[c] += weight * whole_power(np.float64(seen(widen(a[c]), POWER, floor)), power)


@compiled
def power_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, measure: Any, power: int, floor: Any,
    out: Any, totals: Any, pieces: Any, counts: Any,
) -> None:  # fmt: skip
    """``out (N, C)`` and ``totals (N,)`` of the slices ``first`` to ``last``; ``pieces (K, 1, C)``, ``counts (K,)``."""
    channels = out.shape[1]
    sums = np.empty(channels)
    for s in range(first, last):
        sample, start, stop, piece = slices[s, 0], slices[s, 1], slices[s, 2], slices[s, 3]
        sums[:] = 0
        count = 0.0
        for t in range(start, stop):
            weight = np.float64(measure[t]) if measure.shape[0] else 1.0
            if weight != 0:
                _add(row(x, sample * skew + t * stride, channels), weight, power, floor, sums)
                count += weight
        if piece < 0:
            totals[sample] = count
            _roots(sums, count, power, out[sample])
        else:
            pieces[piece, 0], counts[piece] = sums, count


@compiled
def join_powers(slices: Any, pieces: Any, counts: Any, power: int, out: Any, totals: Any) -> None:
    """Pieces of long samples added up in their order."""
    s = 0
    while s < slices.shape[0]:
        if slices[s, 3] < 0:
            s += 1
            continue
        sample, count = slices[s, 0], 0.0
        sums = np.zeros(pieces.shape[2])
        while s < slices.shape[0] and slices[s, 0] == sample:
            sums += pieces[slices[s, 3], 0]
            count += counts[slices[s, 3]]
            s += 1
        totals[sample] = count
        _roots(sums, count, power, out[sample])


@compiled
def power_lines(
    x: Any, sample: int, channel: int, length: int, first: int, last: int, measure: Any, power: int, floor: Any,
    out: Any, totals: Any,
) -> None:  # fmt: skip
    """The same for lines; ``measure`` flat ``(N, P)``."""
    channels = out.shape[1]
    for line in range(first, last):
        n, c = line // channels, line % channels
        a = row(x, n * sample + c * channel, length)
        total, count = 0.0, float(length)
        if measure.shape[0]:
            w, count = row(measure, n * length, length), 0.0
            for p in range(length):
                weight = np.float64(w[p])
                power_here = whole_power(np.float64(seen(widen(a[p]), POWER, floor)), power)
                total += weight * power_here if weight != 0 else 0.0
                count += weight
        elif power == 3:
            for p in range(length):
                total += whole_power(np.float64(seen(widen(a[p]), POWER, floor)), 3)
        else:
            for p in range(length):
                total += whole_power(np.float64(seen(widen(a[p]), POWER, floor)), power)
        out[n, c] = _root(total / count if count > 0 else 0.0, power)
        totals[n] = count
