"""Mean and largest value of each channel in one read, and the gradient of both in one write."""

from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled, inlined, narrow, row, widen
from globalpool.kernels.loops_max import line_max, raise_max


@inlined
def _finish(
    sums: Any, top: Any, tie: Any, held: float, means: Any, tops: Any, ties: Any, totals: Any, sample: int
) -> None:
    scale = 1.0 / held if held > 0 else 1.0
    totals[sample] = held
    for c in range(sums.shape[0]):
        means[sample, c], tops[sample, c] = sums[c] * scale, top[c]
    if ties.shape[0]:
        ties[sample] = tie


@compiled
def mean_max_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, measure: Any,
    means: Any, tops: Any, ties: Any, totals: Any, pieces: Any, counts: Any,
) -> None:  # fmt: skip
    """``means``, ``tops (N, C)``, ``totals (N,)``; ``ties (N, C)`` unless of length 0; ``pieces (K, 3, C)``."""
    channels = tops.shape[1]
    sums, top, tie = np.empty(channels), np.empty(channels, tops.dtype), np.empty(channels, tops.dtype)
    for s in range(first, last):
        sample, start, stop, piece = slices[s, 0], slices[s, 1], slices[s, 2], slices[s, 3]
        sums[:] = 0
        top[:] = -np.inf
        tie[:] = 0
        held = 0.0
        for t in range(start, stop):
            weight = np.float64(measure[t]) if measure.shape[0] else 1.0
            if weight != 0:
                held += weight
                a = row(x, sample * skew + t * stride, channels)
                raise_max(a, top, tie)
                for c in range(channels):
                    sums[c] += weight * np.float64(widen(a[c]))
        if piece < 0:
            _finish(sums, top, tie, held, means, tops, ties, totals, sample)
        else:
            pieces[piece, 0], pieces[piece, 1], pieces[piece, 2], counts[piece] = sums, top, tie, held


@compiled
def join_mean_max(slices: Any, pieces: Any, counts: Any, means: Any, tops: Any, ties: Any, totals: Any) -> None:
    """Pieces of long samples joined in their order."""
    s, channels = 0, tops.shape[1]
    sums, top, tie = np.empty(channels), np.empty(channels), np.empty(channels)
    while s < slices.shape[0]:
        if slices[s, 3] < 0:
            s += 1
            continue
        sample, held = slices[s, 0], 0.0
        sums[:] = 0
        top[:] = -np.inf
        tie[:] = 0
        while s < slices.shape[0] and slices[s, 0] == sample:
            piece = slices[s, 3]
            held += counts[piece]
            for c in range(channels):
                sums[c] += pieces[piece, 0, c]
                value, more = pieces[piece, 1, c], pieces[piece, 2, c]
                rises = value > top[c] or value != value
                tie[c] = more if rises else tie[c] + (more if value == top[c] else 0.0)
                top[c] = value if rises else top[c]
            s += 1
        _finish(sums, top, tie, held, means, tops, ties, totals, sample)


@compiled
def mean_max_lines(
    x: Any, sample: int, channel: int, length: int, first: int, last: int, measure: Any,
    means: Any, tops: Any, ties: Any, totals: Any,
) -> None:  # fmt: skip
    """The same for lines; ``measure`` flat ``(N, P)``."""
    channels = tops.shape[1]
    for line in range(first, last):
        n, c = line // channels, line % channels
        a = row(x, n * sample + c * channel, length)
        w = row(measure, n * length if measure.shape[0] else 0, length if measure.shape[0] else 0)
        total, held, count = 0.0, float(length), 0
        if measure.shape[0]:
            held = 0.0
            for p in range(length):
                weight = np.float64(w[p])
                held += weight
                total += weight * np.float64(widen(a[p])) if weight != 0 else 0.0
        else:
            for p in range(length):
                total += np.float64(widen(a[p]))
        top = line_max(a, w, tops.dtype.type(1), tops.dtype.type(-np.inf))
        means[n, c], tops[n, c], totals[n] = total / (held if held > 0 else 1.0), top, held
        if ties.shape[0]:
            for p in range(length):
                count += (widen(a[p]) == top) and (not measure.shape[0] or w[p] != 0)
            ties[n, c] = count


@inlined
def _slope(value: Any, weight: Any, level: Any, share: Any, top: Any) -> Any:
    reached = value == top and abs(value) != np.inf
    return weight * level + (share if reached else share * 0)


@compiled
def mean_max_gradient_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, measure: Any, tops: Any, levels: Any,
    shares: Any, out: Any, out_stride: int, out_skew: int,
) -> None:  # fmt: skip
    """``w level``, and ``share`` where a finite maximum is reached; all ``(N, C)``; 0 at absent positions."""
    channels = tops.shape[1]
    for s in range(first, last):
        sample, start, stop = slices[s, 0], slices[s, 1], slices[s, 2]
        for t in range(start, stop):
            a = row(x, sample * skew + t * stride, channels)
            b = row(out, sample * out_skew + t * out_stride, channels)
            weight = measure[t] if measure.shape[0] else tops.dtype.type(1)
            if weight == 0:
                for c in range(channels):
                    b[c] = narrow(weight, b)
                continue
            for c in range(channels):
                b[c] = narrow(_slope(widen(a[c]), weight, levels[sample, c], shares[sample, c], tops[sample, c]), b)


@compiled
def mean_max_gradient_lines(
    x: Any, sample: int, channel: int, length: int, first: int, last: int, measure: Any, tops: Any, levels: Any,
    shares: Any, out: Any, out_sample: int, out_channel: int,
) -> None:  # fmt: skip
    """The same for lines."""
    channels = tops.shape[1]
    for line in range(first, last):
        n, c = line // channels, line % channels
        a, b = row(x, n * sample + c * channel, length), row(out, n * out_sample + c * out_channel, length)
        top, level, share = tops[n, c], levels[n, c], shares[n, c]
        for p in range(length):
            weight = measure[n * length + p] if measure.shape[0] else tops.dtype.type(1)
            own = _slope(widen(a[p]), weight, level, share, top)
            b[p] = narrow(own if weight != 0 else weight, b)
