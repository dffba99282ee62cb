"""Rows cut into slices: whole samples where they are short, pieces of equal length where they are long."""

import itertools
from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled

#: Numbers in one slice of a long sample. It depends on nothing else, so neither do the results.
ELEMENTS = 1 << 18


@compiled
def _cut(pointers: Any, limit: int, slices: Any, bounds: Any) -> Any:
    """Fill ``slices``, and ``bounds (parts + 1,)`` of runs of about as many rows; returns how many slices and pieces.

    An empty sample costs something too: by their rows alone a run of empty ones would be one thread's.
    """
    samples, parts = pointers.shape[0] - 1, bounds.shape[0] - 1
    total = pointers[samples] - pointers[0] + samples
    place, piece, part = 0, 0, 0
    for sample in range(samples):
        start, stop = pointers[sample], pointers[sample + 1]
        long = stop - start > limit
        while True:
            # Part k begins with the first slice at or after k / parts of all that there is to do.
            while part < parts and (start - pointers[0] + sample) * parts >= part * total:
                bounds[part] = place
                part += 1
            slices[place, 0], slices[place, 1] = sample, start
            slices[place, 2], slices[place, 3] = min(start + limit, stop), piece if long else -1
            place += 1
            piece += 1 if long else 0
            start += limit
            if start >= stop:
                break
    bounds[part:] = place
    return place, piece


def cut(pointers: Any, channels: int, parts: int) -> tuple[Any, int, list[tuple[int, int]]]:
    """``(S, 4)``: sample, first row, row after the last, and number among the pieces of long samples (-1: whole).

    ``pointers (N + 1,)``: the first row of each sample. Returns the slices, the number of pieces, and the slices in
    ``parts`` runs of about as many rows: (first, after the last).
    """
    limit = max(256, ELEMENTS // max(channels, 1))
    slices = np.empty((len(pointers) - 1 + int(pointers[-1] - pointers[0]) // limit, 4), np.int64)
    bounds = np.empty(parts + 1, np.int64)
    count, pieces = _cut(pointers, limit, slices, bounds)
    ends = bounds.tolist()
    return slices[:count], pieces, [(a, b) for a, b in itertools.pairwise(ends) if a < b]
