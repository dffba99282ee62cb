"""Wall time of a forward pass: whole and by row, in turns."""

import time
from collections import defaultdict
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from torch import Tensor, nn

from globalpool.surgery.rows import ITSELF, following


@dataclass(frozen=True)
class Latency:
    """Seconds of one pass: ``median`` over the runs, and ``spread``, the distance between their quartiles."""

    median: float
    spread: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Latency":
        """Of the runs' seconds; a single run has no spread."""
        if len(seconds) == 1:
            return cls(seconds[0], 0.0)
        low, _, high = quantiles(seconds, n=4, method="inclusive")
        return cls(median(seconds), high - low)


def measure(model: nn.Module, x: Tensor, runs: int) -> tuple[Latency, dict[str, Latency]]:
    """The whole pass, and each row that ran.

    In turns, so that both meet the same disturbances: one pass untouched, one with the clock read (after the device
    has finished) wherever it goes from row to row. One of each comes first and is thrown away.
    """
    whole: list[float] = []
    rows: dict[str, list[float]] = defaultdict(list)
    with torch.no_grad():
        for _ in range(runs + 1):
            start = _now(x)
            model(x)
            whole.append(_now(x) - start)
            for row, seconds in _by_row(model, x).items():
                rows[row].append(seconds)
    return Latency.of(whole[1:]), {row: Latency.of(seconds[1:]) for row, seconds in rows.items()}


def _by_row(model: nn.Module, x: Tensor) -> dict[str, float]:
    spent: dict[str, float] = defaultdict(float)
    row, since = ITSELF, _now(x)

    def arrive(next_row: str) -> None:
        nonlocal row, since
        now = _now(x)
        spent[row] += now - since
        row, since = next_row, now

    with following(model, arrive):
        model(x)
        arrive(ITSELF)
    return spent


def _now(x: Tensor) -> float:
    if x.device.type != "cpu":
        torch.accelerator.synchronize(x.device)
    return time.perf_counter()
