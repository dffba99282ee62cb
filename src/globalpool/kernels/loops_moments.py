"""Mean and deviation of each channel in one read, and their gradient.

Sums of differences and of their squares are taken in blocks, from a row of the block itself: the one with the largest
measure. Its own part in the spread keeps the cancellation below the number of rows in a block, whatever the values.
Blocks are joined by Chan, Golub, LeVeque (1979).
"""

from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled, inlined, narrow, row, widen

BLOCK = 256


@inlined
def _join(held: float, mean: float, spread: float, more: float, other: float, others: float) -> Any:
    """Mean and sum of squares of two groups that hold ``held`` and ``more``."""
    difference = other - mean
    share = more / (held + more)
    return mean + difference * share, spread + others + difference * difference * held * share


@inlined
def _differences(a: Any, zero: float) -> Any:
    sums, squares = 0.0, 0.0
    for p in range(a.shape[0]):
        difference = np.float64(widen(a[p])) - zero
        sums += difference
        squares += difference * difference
    return sums, squares


@inlined
def _finish(mean: Any, spread: Any, held: float, means: Any, deviations: Any, wide: Any, sample: int) -> None:
    scale = 1.0 / held if held > 0 else 1.0
    for c in range(mean.shape[0]):
        means[sample, c] = mean[c]
        deviations[sample, c] = np.sqrt(spread[c] * scale)
    if wide.shape[0]:
        wide[sample] = mean


@compiled
def moment_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, measure: Any,
    means: Any, deviations: Any, wide: Any, totals: Any, pieces: Any, piece_totals: Any,
) -> None:  # fmt: skip
    """``means``, ``deviations (N, C)``, ``totals (N,)``; ``pieces (K, 2, C)``: means and sums of squares around them.

    ``wide (N, C)``: the means in float64; of length 0 where nobody wants them.
    """
    channels = means.shape[1]
    mean, spread = np.empty(channels), np.empty(channels)
    sums, squares = np.empty(channels), np.empty(channels)
    for s in range(first, last):
        sample, start, stop, piece = slices[s, 0], slices[s, 1], slices[s, 2], slices[s, 3]
        mean[:] = 0
        spread[:] = 0
        held = 0.0
        for begin in range(start, stop, BLOCK):
            end, origin = min(begin + BLOCK, stop), begin
            if measure.shape[0]:
                for t in range(begin, end):
                    origin = t if measure[t] > measure[origin] else origin
                if measure[origin] == 0:
                    continue
            zero = row(x, sample * skew + origin * stride, channels)
            sums[:] = 0
            squares[:] = 0
            more = 0.0
            for t in range(begin, end):
                weight = np.float64(measure[t]) if measure.shape[0] else 1.0
                if weight != 0:
                    more += weight
                    a = row(x, sample * skew + t * stride, channels)
                    for c in range(channels):
                        difference = np.float64(widen(a[c])) - np.float64(widen(zero[c]))
                        sums[c] += weight * difference
                        squares[c] += weight * difference * difference
            part, share = 1.0 / more, more / (held + more)
            for c in range(channels):
                step = sums[c] * part
                other, others = np.float64(widen(zero[c])) + step, squares[c] - sums[c] * step
                difference = other - mean[c]
                mean[c] += difference * share
                spread[c] += (others if others > 0 else 0.0) + difference * difference * held * share
            held += more
        if piece < 0:
            totals[sample] = held
            _finish(mean, spread, held, means, deviations, wide, sample)
        else:
            pieces[piece, 0], pieces[piece, 1], piece_totals[piece] = mean, spread, held


@compiled
def join_moments(
    slices: Any, pieces: Any, piece_totals: Any, means: Any, deviations: Any, wide: Any, totals: Any
) -> None:
    """Pieces of long samples joined in their order."""
    s = 0
    mean, spread = np.empty(means.shape[1]), np.empty(means.shape[1])
    while s < slices.shape[0]:
        if slices[s, 3] < 0:
            s += 1
            continue
        sample, held = slices[s, 0], 0.0
        mean[:] = 0
        spread[:] = 0
        while s < slices.shape[0] and slices[s, 0] == sample:
            piece, more = slices[s, 3], piece_totals[slices[s, 3]]
            if more > 0:
                for c in range(means.shape[1]):
                    mean[c], spread[c] = _join(held, mean[c], spread[c], more, pieces[piece, 0, c], pieces[piece, 1, c])
                held += more
            s += 1
        totals[sample] = held
        _finish(mean, spread, held, means, deviations, wide, sample)


@compiled
def moment_lines(
    x: Any, sample: int, channel: int, length: int, first: int, last: int, measure: Any,
    means: Any, deviations: Any, wide: Any, totals: Any,
) -> None:  # fmt: skip
    """The same for lines; ``measure`` flat ``(N, P)``."""
    channels = means.shape[1]
    for line in range(first, last):
        n, c = line // channels, line % channels
        a = row(x, n * sample + c * channel, length)
        w = row(measure, n * length if measure.shape[0] else 0, length if measure.shape[0] else 0)
        mean, spread, held = 0.0, 0.0, 0.0
        for begin in range(0, length, BLOCK):
            end, origin = min(begin + BLOCK, length), begin
            sums, squares, more = 0.0, 0.0, 0.0
            if measure.shape[0]:
                for p in range(begin, end):
                    origin = p if w[p] > w[origin] else origin
                if w[origin] == 0:
                    continue
                zero = np.float64(widen(a[origin]))
                for p in range(begin, end):
                    difference = np.float64(widen(a[p])) - zero if w[p] != 0 else 0.0
                    more += np.float64(w[p])
                    sums += np.float64(w[p]) * difference
                    squares += np.float64(w[p]) * difference * difference
            else:
                zero, more = np.float64(widen(a[begin])), float(end - begin)
                sums, squares = _differences(row(a, begin, end - begin), zero)
            step = sums / more
            mean, spread = _join(held, mean, spread, more, zero + step, max(squares - sums * step, 0.0))
            held += more
        means[n, c], deviations[n, c], totals[n] = mean, np.sqrt(spread / (held if held > 0 else 1.0)), held
        if wide.shape[0]:
            wide[n, c] = mean


@compiled
def moment_gradient_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, measure: Any, means: Any,
    by_mean: Any, by_distance: Any, out: Any, out_stride: int, out_skew: int,
) -> None:  # fmt: skip
    """``w (by_mean + by_distance (x - mean))``, all ``(N, C)`` and float64; 0 at absent positions."""
    channels = means.shape[1]
    for s in range(first, last):
        sample, start, stop = slices[s, 0], slices[s, 1], slices[s, 2]
        for t in range(start, stop):
            a = row(x, sample * skew + t * stride, channels)
            b = row(out, sample * out_skew + t * out_stride, channels)
            weight = np.float64(measure[t]) if measure.shape[0] else 1.0
            if weight == 0:
                for c in range(channels):
                    b[c] = narrow(np.float32(0), b)
                continue
            for c in range(channels):
                distance = np.float64(widen(a[c])) - means[sample, c]
                b[c] = narrow(weight * (by_mean[sample, c] + by_distance[sample, c] * distance), b)


@compiled
def moment_gradient_lines(
    x: Any, sample: int, channel: int, length: int, first: int, last: int, measure: Any, means: Any,
    by_mean: Any, by_distance: Any, out: Any, out_sample: int, out_channel: int,
) -> None:  # fmt: skip
    """The same for lines."""
    channels = means.shape[1]
    for line in range(first, last):
        n, c = line // channels, line % channels
        a, b = row(x, n * sample + c * channel, length), row(out, n * out_sample + c * out_channel, length)
        mean, level, slope = means[n, c], by_mean[n, c], by_distance[n, c]
        for p in range(length):
            weight = np.float64(measure[n * length + p]) if measure.shape[0] else 1.0
            distance = np.float64(widen(a[p])) - mean
            b[p] = narrow(weight * (level + slope * distance) if weight != 0 else 0.0, b)
