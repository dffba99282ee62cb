"""The largest value of each channel with the number of positions that share it, and its gradient."""

from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled, inlined, narrow, row, widen

LANES, NARROW = 64, 32


@inlined
def _raise(a: Any, top: Any, tie: Any) -> None:
    for c in range(top.shape[0]):
        value = widen(a[c])
        rises = value > top[c] or value != value
        tie[c] = 1 if rises else tie[c] + (value == top[c])
        top[c] = value if rises else top[c]


@inlined
def raise_max(a: Any, top: Any, tie: Any) -> None:
    """Raise ``top (C,)`` to a row, and count those that share it.

    Few channels are taken eight at a time, which the compiler knows how to do: it would take sixteen, then each alone.
    """
    channels, done = top.shape[0], 0
    if channels < NARROW:
        for c in range(0, channels - 7, 8):
            _raise(row(a, c, 8), row(top, c, 8), row(tie, c, 8))
        done = channels // 8 * 8
    left = channels - done
    _raise(row(a, done, left), row(top, done, left), row(tie, done, left))


@inlined
def _share(a: Any, here: bool, top: Any, gradient: Any, out: Any) -> None:
    zero = gradient.dtype.type(0)
    for c in range(top.shape[0]):
        value = widen(a[c])
        reached = here and value == top[c] and abs(value) != np.inf
        out[c] = narrow(gradient[c] if reached else zero, out)


@compiled
def max_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, measure: Any, tops: Any, ties: Any, pieces: Any
) -> None:
    """``tops`` and ``ties (N, C)`` over rows whose ``measure (T,)`` (length 0: all) is not 0; ``pieces (K, 2, C)``.

    NaN is larger than everything. A sample without positions has -inf and no ties.
    """
    channels = tops.shape[1]
    top, tie = np.empty(channels, tops.dtype), np.empty(channels, tops.dtype)
    for s in range(first, last):
        sample, start, stop, piece = slices[s, 0], slices[s, 1], slices[s, 2], slices[s, 3]
        top[:] = -np.inf
        tie[:] = 0
        for t in range(start, stop):
            if not measure.shape[0] or measure[t] != 0:
                raise_max(row(x, sample * skew + t * stride, channels), top, tie)
        if piece < 0:
            tops[sample], ties[sample] = top, tie
        else:
            pieces[piece, 0], pieces[piece, 1] = top, tie


@compiled
def join_max(slices: Any, pieces: Any, tops: Any, ties: Any) -> None:
    """The largest of the pieces of long samples; ties of equal ones add up."""
    for s in range(slices.shape[0]):
        sample, piece = slices[s, 0], slices[s, 3]
        if piece < 0:
            continue
        begins = s == 0 or slices[s - 1, 0] != sample
        for c in range(tops.shape[1]):
            value, count = pieces[piece, 0, c], pieces[piece, 1, c]
            if begins or value > tops[sample, c] or value != value:
                tops[sample, c], ties[sample, c] = value, count
            elif value == tops[sample, c]:
                ties[sample, c] += count


@inlined
def line_max(a: Any, weights: Any, sign: Any, lowest: Any) -> Any:
    """The largest of a line times ``sign``, in lanes of their own: one running maximum would wait for itself."""
    lanes = np.full(LANES, lowest)
    whole = a.shape[0] // LANES * LANES
    if weights.shape[0]:
        for begin in range(0, whole, LANES):
            part, held = row(a, begin, LANES), row(weights, begin, LANES)
            for lane in range(LANES):
                value = sign * widen(part[lane])
                rises = (value > lanes[lane] or value != value) and held[lane] != 0
                lanes[lane] = value if rises else lanes[lane]
    else:
        for begin in range(0, whole, LANES):
            part = row(a, begin, LANES)
            for lane in range(LANES):
                value = sign * widen(part[lane])
                lanes[lane] = value if value > lanes[lane] or value != value else lanes[lane]
    top = lowest
    for p in range(whole, a.shape[0]):
        value = sign * widen(a[p])
        if (value > top or value != value) and (not weights.shape[0] or weights[p] != 0):
            top = value
    for lane in range(LANES):
        top = lanes[lane] if lanes[lane] > top or lanes[lane] != lanes[lane] else top
    return top


@compiled
def max_lines(
    x: Any, sample: int, channel: int, length: int, first: int, last: int, measure: Any, tops: Any, ties: Any
) -> None:
    """The same for lines; ``measure`` flat ``(N, P)``."""
    channels = tops.shape[1]
    for line in range(first, last):
        n, c = line // channels, line % channels
        a = row(x, n * sample + c * channel, length)
        held = row(measure, n * length if measure.shape[0] else 0, length if measure.shape[0] else 0)
        top = line_max(a, held, tops.dtype.type(1), tops.dtype.type(-np.inf))
        count = 0
        for p in range(length):
            count += (widen(a[p]) == top) and (not measure.shape[0] or held[p] != 0)
        tops[n, c], ties[n, c] = top, count


@compiled
def max_gradient_rows(
    x: Any, stride: int, skew: int, slices: Any, first: int, last: int, measure: Any, tops: Any, gradient: Any,
    out: Any, out_stride: int, out_skew: int,
) -> None:  # fmt: skip
    """``gradient (N, C)``, already divided by the ties, to the positions that reach a finite ``tops (N, C)``."""
    channels = tops.shape[1]
    for s in range(first, last):
        sample, start, stop = slices[s, 0], slices[s, 1], slices[s, 2]
        for t in range(start, stop):
            a = row(x, sample * skew + t * stride, channels)
            b = row(out, sample * out_skew + t * out_stride, channels)
            here = not measure.shape[0] or measure[t] != 0
            top, slope, done = tops[sample], gradient[sample], 0
            if channels < NARROW:
                for c in range(0, channels - 7, 8):
                    _share(row(a, c, 8), here, row(top, c, 8), row(slope, c, 8), row(b, c, 8))
                done = channels // 8 * 8
            left = channels - done
            _share(row(a, done, left), here, row(top, done, left), row(slope, done, left), row(b, done, left))


@compiled
def max_gradient_lines(
    x: Any, sample: int, channel: int, length: int, first: int, last: int, measure: Any, tops: Any, gradient: Any,
    out: Any, out_sample: int, out_channel: int,
) -> None:  # fmt: skip
    """The same for lines."""
    channels = tops.shape[1]
    for line in range(first, last):
        n, c = line // channels, line % channels
        a, b = row(x, n * sample + c * channel, length), row(out, n * out_sample + c * out_channel, length)
        top, slope = tops[n, c], gradient[n, c]
        for p in range(length):
            value = widen(a[p])
            here = not measure.shape[0] or measure[n * length + p] != 0
            reached = here and value == top and abs(value) != np.inf
            b[p] = narrow(slope if reached else gradient.dtype.type(0), b)
