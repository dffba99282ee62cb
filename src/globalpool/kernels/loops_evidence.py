"""Weighted sums, and each position's product with a few rows of a matrix, in one read of the features."""

from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled, row, widen


@compiled
def sum_score_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, measure: Any, matrix: Any,
    sums: Any, totals: Any, scores: Any, pieces: Any, counts: Any,
) -> None:  # fmt: skip
    """``sums (N, C)``, ``totals (N,)``, ``scores (T, K)`` of ``matrix (N or 1, K, C)``; 0 where the measure is 0."""
    classes, channels = matrix.shape[1], matrix.shape[2]
    own = np.empty(channels)
    for s in range(first, last):
        sample, start, stop, piece = slices[s, 0], slices[s, 1], slices[s, 2], slices[s, 3]
        place = sample if matrix.shape[0] > 1 else 0
        own[:] = 0
        held = 0.0
        for t in range(start, stop):
            weight = np.float64(measure[t]) if measure.shape[0] else 1.0
            if weight == 0:
                scores[t] = 0
                continue
            held += weight
            a = row(x, sample * skew + t * stride, channels)
            for c in range(channels):
                own[c] += weight * np.float64(widen(a[c]))
            for k in range(classes):
                w, total = matrix[place, k], 0.0
                for c in range(channels):
                    total += np.float64(w[c]) * np.float64(widen(a[c]))
                scores[t, k] = weight * total
        if piece < 0:
            sums[sample], totals[sample] = own, held
        else:
            pieces[piece, 0], counts[piece] = own, held


@compiled
def join_sums_of_scores(slices: Any, pieces: Any, counts: Any, sums: Any, totals: Any) -> None:
    """Sums of the pieces of long samples, in their order."""
    for s in range(slices.shape[0]):
        sample, piece = slices[s, 0], slices[s, 3]
        if piece < 0:
            continue
        if s == 0 or slices[s - 1, 0] != sample:
            sums[sample] = 0
            totals[sample] = 0
        sums[sample] += pieces[piece, 0]
        totals[sample] += counts[piece]


@compiled
def sum_score_lines(
    x: Any, sample: int, channel: int, length: int, first: int, last: int, measure: Any, matrix: Any,
    sums: Any, totals: Any, scores: Any,
) -> None:  # fmt: skip
    """The same for lines of the samples ``first`` to ``last``: ``scores (N, K, P)``, ``measure`` flat ``(N, P)``."""
    classes, channels = matrix.shape[1], matrix.shape[2]
    near, line = np.empty((classes, length)), np.empty(length)
    for n in range(first, last):
        place = n if matrix.shape[0] > 1 else 0
        w = row(measure, n * length if measure.shape[0] else 0, length if measure.shape[0] else 0)
        near[:] = 0
        held = float(length)
        if measure.shape[0]:
            held = 0.0
            for p in range(length):
                held += np.float64(w[p])
        totals[n] = held
        for c in range(channels):
            a = row(x, n * sample + c * channel, length)
            total = 0.0
            if measure.shape[0]:
                for p in range(length):
                    line[p] = np.float64(w[p]) * np.float64(widen(a[p])) if w[p] != 0 else 0.0
            else:
                for p in range(length):
                    line[p] = np.float64(widen(a[p]))
            for p in range(length):
                total += line[p]
            sums[n, c] = total
            for k in range(classes):
                own, factor = near[k], np.float64(matrix[place, k, c])
                for p in range(length):
                    own[p] += factor * line[p]
        for k in range(classes):
            for p in range(length):
                scores[n, k, p] = near[k, p]
