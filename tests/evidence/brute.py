"""Evidence the slow way: one position at a time, in float64, from pool weights and tail alone."""

import itertools
from typing import Any

import torch
from torch import Tensor

from globalpool.evidence import Evidence
from globalpool.head import PooledHead
from globalpool.layout import Dense, Ragged


def brute_maps(head: PooledHead, x: Tensor, evidence: Evidence, weights: Tensor) -> Tensor:
    """``maps`` computed position by position; ``x`` in the layout's standard order, absent places zero."""
    layout, tail = evidence.layout, head.tail.weight.detach().double()
    channels = x.shape[1]
    weights = weights.detach().double()
    weights = weights.expand(*weights.shape[:2], channels, *weights.shape[3:])
    kept = layout.kept_shape
    rows = tail.reshape(tail.shape[0], head.pool.regions, channels, *kept)
    maps = torch.zeros(evidence.maps.shape, dtype=torch.float64)
    if isinstance(layout, Dense):
        for sample, cell in itertools.product(range(x.shape[0]), itertools.product(*map(range, layout.spatial))):
            place = tuple(cell[axis] for axis in layout.kept)
            here: Any = (sample, ..., *cell)
            part = weights[here] * x[here].detach().double()
            for column, k in enumerate(evidence.classes[sample].tolist()):
                tail_row: Any = (k, ..., *place)
                maps[(sample, column, *cell)] = (rows[tail_row] * part).sum()
        return maps
    assert isinstance(layout, Ragged)
    for row in range(x.shape[0]):
        sample = int(layout.index[row])
        flat = int(layout.segment[row]) - sample * int(torch.tensor(kept).prod()) if kept else 0
        place = tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), kept)) if kept else ()
        for column, k in enumerate(evidence.classes[sample].tolist()):
            tail_row = (k, ..., *place)
            maps[row, column] = (rows[tail_row] * weights[row] * x[row].detach().double()).sum()
    return maps
