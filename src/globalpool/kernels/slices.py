"""Rows cut into slices: whole samples where they are short, pieces of equal length where they are long."""

import itertools
from typing import Any

import numpy as np

from globalpool.kernels.compiled import compiled

#: Numbers in one slice of a long sample. It depends on nothing else, so neither do the results.
ELEMENTS = 1 << 18


@compiled
def _count(pointers: Any, limit: int) -> Any:
    slices, pieces = 0, 0
    for sample in range(pointers.shape[0] - 1):
        rows = pointers[sample + 1] - pointers[sample]
        parts = max(1, (rows + limit - 1) // limit)
        slices += parts
        pieces += parts if parts > 1 else 0
    return slices, pieces


@compiled
def _cut(pointers: Any, limit: int, slices: Any) -> None:
    place, piece = 0, 0
    for sample in range(pointers.shape[0] - 1):
        start, stop = pointers[sample], pointers[sample + 1]
        long = stop - start > limit
        while True:
            slices[place, 0], slices[place, 1] = sample, start
            slices[place, 2], slices[place, 3] = min(start + limit, stop), piece if long else -1
            place += 1
            piece += 1 if long else 0
            start += limit
            if start >= stop:
                break


def cut(pointers: Any, channels: int) -> tuple[Any, int]:
    """``(S, 4)``: sample, first row, row after the last, and number among the pieces of long samples (-1: whole).

    ``pointers (N + 1,)``: the first row of each sample. Returns the slices and the number of pieces.
    """
    limit = max(256, ELEMENTS // max(channels, 1))
    count, pieces = _count(pointers, limit)
    slices = np.empty((count, 4), np.int64)
    _cut(pointers, limit, slices)
    return slices, pieces


def split(slices: Any, parts: int) -> list[tuple[int, int]]:
    """The slices in ``parts`` runs of about as many rows: (first, after the last)."""
    starts = slices[:, 1]
    rows, first = int(slices[-1, 2]), int(starts[0])
    # An empty sample costs something too; by their number alone a run of them would be one thread's.
    cost = starts - first + np.arange(len(starts))
    targets = np.linspace(0, rows - first + len(starts), parts + 1)
    bounds = np.searchsorted(cost, targets)
    bounds[0], bounds[-1] = 0, len(starts)
    return [(int(a), int(b)) for a, b in itertools.pairwise(bounds) if a < b]
