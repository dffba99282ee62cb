"""Softmax over the rows of each sample, and its gradient; and the first row of each sample from sorted numbers."""

from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled, inlined, row
from globalpool.kernels.elementary import exponential


@inlined
def _softmax_line(scores: Any, measure: Any, rate: Any, out: Any) -> None:
    """The rows of one sample where there is one score a row."""
    top, total = scores.dtype.type(-np.inf), 0.0
    for t in range(scores.shape[0]):
        if not measure.shape[0] or measure[t] > 0:
            top = top if scores[t] <= top else scores[t]
    top = scores.dtype.type(0) if top == -np.inf else top
    if measure.shape[0]:
        for t in range(scores.shape[0]):
            out[t] = measure[t] * exponential(rate * (scores[t] - top)) if measure[t] > 0 else scores.dtype.type(0)
    else:
        for t in range(scores.shape[0]):
            out[t] = exponential(rate * (scores[t] - top))
    for t in range(scores.shape[0]):
        total += np.float64(out[t])
    scale = scores.dtype.type(1.0 / total if total != 0 else 1.0)
    for t in range(scores.shape[0]):
        out[t] *= scale


@compiled
def softmax_rows(scores: Any, pointers: Any, first: int, last: int, measure: Any, rate: Any, out: Any) -> None:
    """``out (T, R)``: the softmax of ``rate * scores`` over the rows of the samples ``first`` to ``last``.

    ``measure (T,)`` (length 0: 1 each) counts a row that many times; 0 is absent and gets 0.
    """
    for sample in range(first, last):
        start, stop = pointers[sample], pointers[sample + 1]
        if scores.shape[1] == 1:
            held = row(measure, start if measure.shape[0] else 0, stop - start if measure.shape[0] else 0)
            lines = row(scores.reshape(-1), start, stop - start), row(out.reshape(-1), start, stop - start)
            _softmax_line(lines[0], held, rate[0], lines[1])
            continue
        for r in range(scores.shape[1]):
            top = scores.dtype.type(-np.inf)
            for t in range(start, stop):
                if not measure.shape[0] or measure[t] > 0:
                    top = top if scores[t, r] <= top else scores[t, r]
            top = scores.dtype.type(0) if top == -np.inf else top
            total = 0.0
            if measure.shape[0]:
                for t in range(start, stop):
                    e = exponential(rate[r] * (scores[t, r] - top)) if measure[t] > 0 else scores.dtype.type(0)
                    out[t, r] = measure[t] * e
                    total += np.float64(out[t, r])
            else:
                for t in range(start, stop):
                    e = exponential(rate[r] * (scores[t, r] - top))
                    out[t, r] = e
                    total += np.float64(e)
            scale = 1.0 / total if total != 0 else 1.0
            for t in range(start, stop):
                out[t, r] = out[t, r] * scale


@compiled
def softmax_gradient_rows(
    weights: Any, gradient: Any, pointers: Any, first: int, last: int, rate: Any, out: Any
) -> None:
    """``out (T, R)``: the gradient of the scores, given the weights and theirs."""
    for sample in range(first, last):
        start, stop = pointers[sample], pointers[sample + 1]
        for r in range(weights.shape[1]):
            total = 0.0
            for t in range(start, stop):
                total += np.float64(weights[t, r]) * np.float64(gradient[t, r])
            for t in range(start, stop):
                out[t, r] = rate[r] * weights[t, r] * (gradient[t, r] - total)


@compiled
def find_pointers(batch: Any, pointers: Any) -> int:
    """Fill ``pointers (N + 1,)`` from sample numbers ``batch (T,)``: 0, or 1 unsorted, 2 out of range."""
    samples, rows = pointers.shape[0] - 1, batch.shape[0]
    unsorted, outside = 0, 0
    for t in range(1, rows):
        unsorted |= batch[t] < batch[t - 1]
    for t in range(rows):
        outside |= (batch[t] < 0) | (batch[t] >= samples)
    if unsorted:
        return 1
    if outside:
        return 2
    filled = 0
    for t in range(rows):
        while filled <= batch[t]:
            pointers[filled] = t
            filled += 1
    pointers[filled:] = rows
    return 0
