"""Weighted sums over positions, one read of the features; and their gradients, one write."""

from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled, inlined, narrow, row, widen


@inlined
def _add_plain(x: Any, base: int, stride: int, start: int, stop: int, channels: int, sums: Any) -> None:
    """Rows into float64 ``sums (C,)``, one after the other: one stream of memory is what a processor foresees best."""
    for t in range(start, stop):
        a = row(x, base + t * stride, channels)
        for c in range(channels):
            sums[c] += np.float64(widen(a[c]))


@inlined
def _add_weighted(
    x: Any,
    base: int,
    stride: int,
    start: int,
    stop: int,
    channels: int,
    weights: Any,
    heads: int,
    skip: bool,
    sums: Any,
) -> float:
    """Rows times ``weights`` into ``sums (R, C)``; returns the sum of the first head's weights."""
    total = 0.0
    for t in range(start, stop):
        a = row(x, base + t * stride, channels)
        total += np.float64(weights[t * heads])
        for r in range(heads):
            w = np.float64(weights[t * heads + r])
            if not skip or w != 0:
                own = sums[r]
                for c in range(channels):
                    own[c] += w * np.float64(widen(a[c]))
    return total


@inlined
def _finish(sums: Any, total: float, mean: bool, out: Any, totals: Any, sample: int) -> None:
    scale = 1.0 / total if mean and total > 0 else 1.0
    totals[sample] = total
    for r in range(sums.shape[0]):
        for c in range(sums.shape[1]):
            out[sample, r, c] = sums[r, c] * scale


@compiled
def sum_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, weights: Any, heads: int,
    skip: bool, mean: bool, out: Any, totals: Any, pieces: Any, piece_totals: Any,
) -> None:  # fmt: skip
    """``out (N, R, C)`` and ``totals (N,)`` of the slices ``first`` to ``last``; what is cut goes to ``pieces``.

    ``weights`` flat ``(T, R)``; none (length 0) counts every row once. ``skip``: weight 0 means not there.
    """
    channels = out.shape[2]
    sums = np.empty((heads, channels))
    for s in range(first, last):
        sample, start, stop, piece = slices[s, 0], slices[s, 1], slices[s, 2], slices[s, 3]
        sums[:] = 0
        base = sample * skew
        if weights.shape[0]:
            total = _add_weighted(x, base, stride, start, stop, channels, weights, heads, skip, sums)
        else:
            _add_plain(x, base, stride, start, stop, channels, sums[0])
            total = float(stop - start)
        if piece < 0:
            _finish(sums, total, mean, out, totals, sample)
        else:
            pieces[piece] = sums
            piece_totals[piece] = total


@compiled
def join_sums(slices: Any, pieces: Any, piece_totals: Any, mean: bool, out: Any, totals: Any) -> None:
    """Pieces of long samples added up in their order."""
    s = 0
    while s < slices.shape[0]:
        if slices[s, 3] < 0:
            s += 1
            continue
        sample, total = slices[s, 0], 0.0
        sums = np.zeros(pieces.shape[1:])
        while s < slices.shape[0] and slices[s, 0] == sample:
            sums += pieces[slices[s, 3]]
            total += piece_totals[slices[s, 3]]
            s += 1
        _finish(sums, total, mean, out, totals, sample)


@compiled
def sum_lines(
    x: Any, sample_stride: int, channel_stride: int, length: int, first: int, last: int, weights: Any, heads: int,
    skip: bool, mean: bool, out: Any, totals: Any,
) -> None:  # fmt: skip
    """``out (N, R, C)`` of the lines ``first`` to ``last``; ``weights`` flat ``(N, R, P)``; ``totals (N,)`` given."""
    channels = out.shape[2]
    for line in range(first, last):
        n, c = line // channels, line % channels
        a = row(x, n * sample_stride + c * channel_stride, length)
        scale = 1.0 / totals[n] if mean and totals[n] > 0 else 1.0
        for r in range(heads):
            total = 0.0
            if weights.shape[0]:
                w = row(weights, (n * heads + r) * length, length)
                if skip:
                    for p in range(length):
                        total += np.float64(w[p]) * np.float64(widen(a[p])) if w[p] != 0 else 0.0
                else:
                    for p in range(length):
                        total += np.float64(w[p]) * np.float64(widen(a[p]))
            else:
                for p in range(length):
                    total += np.float64(widen(a[p]))
            out[n, r, c] = total * scale


@compiled
def spread_rows(
    gradient: Any, slices: Any, first: int, last: int, weights: Any, heads: int, out: Any, stride: int, skew: int
) -> None:
    """What each row gets of ``gradient (N, R, C)`` under its weights (none: 1 each)."""
    channels = gradient.shape[2]
    for s in range(first, last):
        sample, start, stop = slices[s, 0], slices[s, 1], slices[s, 2]
        for t in range(start, stop):
            a = row(out, sample * skew + t * stride, channels)
            if not weights.shape[0]:
                for c in range(channels):
                    a[c] = narrow(gradient[sample, 0, c], a)
            elif heads == 1:
                w = weights[t]
                for c in range(channels):
                    a[c] = narrow(w * gradient[sample, 0, c], a)
            else:
                for c in range(channels):
                    total = 0.0
                    for r in range(heads):
                        total += weights[t * heads + r] * gradient[sample, r, c]
                    a[c] = narrow(total, a)


@compiled
def spread_lines(
    gradient: Any, first: int, last: int, weights: Any, heads: int, length: int, out: Any, sample: int, channel: int
) -> None:
    """The same for lines; ``weights`` flat ``(N, R, P)``."""
    channels = gradient.shape[2]
    for line in range(first, last):
        n, c = line // channels, line % channels
        a = row(out, n * sample + c * channel, length)
        if not weights.shape[0]:
            value = narrow(gradient[n, 0, c], a)
            for p in range(length):
                a[p] = value
        else:
            for p in range(length):
                total = 0.0
                for r in range(heads):
                    total += weights[(n * heads + r) * length + p] * gradient[n, r, c]
                a[p] = narrow(total, a)


@compiled
def score_rows(x: Any, stride: int, skew: int, slices: Any, first: int, last: int, gradient: Any, out: Any) -> None:
    """The gradient of the weights: ``out (T, R)``, each row's product with ``gradient (N, R, C)``."""
    heads, channels = gradient.shape[1], gradient.shape[2]
    for s in range(first, last):
        sample, start, stop = slices[s, 0], slices[s, 1], slices[s, 2]
        for t in range(start, stop):
            a = row(x, sample * skew + t * stride, channels)
            for r in range(heads):
                total = 0.0
                for c in range(channels):
                    total += np.float64(widen(a[c])) * np.float64(gradient[sample, r, c])
                out[t, r] = total


@compiled
def score_lines(x: Any, sample: int, channel: int, length: int, first: int, last: int, gradient: Any, out: Any) -> None:
    """The same for lines of the samples ``first`` to ``last``: ``out (N, R, P)``."""
    heads, channels = gradient.shape[1], gradient.shape[2]
    sums = np.empty((heads, length))
    for n in range(first, last):
        sums[:] = 0
        for c in range(channels):
            a = row(x, n * sample + c * channel, length)
            for r in range(heads):
                g = np.float64(gradient[n, r, c])
                for p in range(length):
                    sums[r, p] += g * np.float64(widen(a[p]))
        out[n] = sums
