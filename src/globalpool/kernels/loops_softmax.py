"""Softmax over the rows of each sample, and its gradient."""

from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled, inlined, row
from globalpool.kernels.elementary import exponential

#: Rows of short samples whose exponentials are taken in one go: eight or sixteen at a time however short the samples.
BLOCK = 4096


@inlined
def _below_top(scores: Any, measure: Any, rate: Any, out: Any) -> None:
    """``rate * (score - the largest)`` of one sample with one score a row; -inf where a row is absent."""
    absent = scores.dtype.type(-np.inf)
    top = absent
    for t in range(scores.shape[0]):
        if not measure.shape[0] or measure[t] > 0:
            top = top if scores[t] <= top else scores[t]
    top = scores.dtype.type(0) if top == absent else top
    if measure.shape[0]:
        for t in range(scores.shape[0]):
            out[t] = rate * (scores[t] - top) if measure[t] > 0 else absent
    else:
        for t in range(scores.shape[0]):
            out[t] = rate * (scores[t] - top)


@inlined
def _below_tops(scores: Any, measure: Any, rate: Any, first: int, last: int, out: Any) -> None:
    """The same for each column of the rows ``first`` to ``last`` of ``scores (T, R)``."""
    absent = scores.dtype.type(-np.inf)
    for r in range(scores.shape[1]):
        top = absent
        for t in range(first, last):
            if not measure.shape[0] or measure[t] > 0:
                top = top if scores[t, r] <= top else scores[t, r]
        top = scores.dtype.type(0) if top == absent else top
        for t in range(first, last):
            present = not measure.shape[0] or measure[t] > 0
            out[t, r] = rate[r] * (scores[t, r] - top) if present else absent


@inlined
def _to_one(weights: Any) -> None:
    """The weights of one sample, divided by their sum where that is not 0."""
    total = 0.0
    for t in range(weights.shape[0]):
        total += np.float64(weights[t])
    scale = weights.dtype.type(1.0 / total if total != 0 else 1.0)
    for t in range(weights.shape[0]):
        weights[t] *= scale


@inlined
def _columns_to_one(weights: Any, first: int, last: int) -> None:
    """The same for each column of the rows ``first`` to ``last``."""
    for r in range(weights.shape[1]):
        total = 0.0
        for t in range(first, last):
            total += np.float64(weights[t, r])
        scale = weights.dtype.type(1.0 / total if total != 0 else 1.0)
        for t in range(first, last):
            weights[t, r] *= scale


@compiled
def softmax_rows(scores: Any, pointers: Any, first: int, last: int, measure: Any, rate: Any, out: Any) -> None:
    """``out (T, R)``: the softmax of ``rate * scores`` over the rows of the samples ``first`` to ``last``.

    ``measure (T,)`` (length 0: 1 each) counts a row that many times; 0 is absent and gets 0.
    """
    heads = scores.shape[1]
    line, flat = scores.reshape(-1), out.reshape(-1)
    begin = first
    while begin < last:
        end = begin + 1
        while end < last and pointers[end + 1] - pointers[begin] <= BLOCK:
            end += 1
        for sample in range(begin, end):
            start, rows = pointers[sample], pointers[sample + 1] - pointers[sample]
            if heads == 1:
                held = row(measure, start if measure.shape[0] else 0, rows if measure.shape[0] else 0)
                _below_top(row(line, start, rows), held, rate[0], row(flat, start, rows))
            else:
                _below_tops(scores, measure, rate, start, start + rows, out)
        block = row(flat, pointers[begin] * heads, (pointers[end] - pointers[begin]) * heads)
        for k in range(block.shape[0]):
            block[k] = exponential(block[k])
        if measure.shape[0]:
            for t in range(pointers[begin], pointers[end]):
                for r in range(heads):
                    out[t, r] *= measure[t]
        for sample in range(begin, end):
            start, rows = pointers[sample], pointers[sample + 1] - pointers[sample]
            if heads == 1:
                _to_one(row(flat, start, rows))
            else:
                _columns_to_one(out, start, start + rows)
        begin = end


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
