"""The gradient of means of exponentials and powers, one read of the features and one write."""

from typing import Any

from globalpool.kernels.compiled import compiled, narrow, row, widen
from globalpool.kernels.terms import slope


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
