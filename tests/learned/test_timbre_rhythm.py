"""Timbre is for a pool over time, rhythm for a pool over frequency: benchmarks/learned/timbre_rhythm.py in small.

Thresholds were fixed on seeds 100 to 102.
"""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

import globalpool as gp
from globalpool.data.rhythm import rhythm_beats
from globalpool.data.spectrograms import Bands, spectrogram
from globalpool.data.timbre import timbre_notes
from globalpool.models import bandwise, framewise

BANDS = Bands(8000, hop=160, window=1, count=60, scale="log", lowest=110.0, highest=3300.0, floor=-60.0)
SEEDS = (0, 1)


@cache
def recordings(task: str, seed: int, count: int) -> tuple[Tensor, Tensor]:
    made = timbre_notes(seed, count) if task == "timbre" else rhythm_beats(seed, count)
    found = [spectrogram(torch.from_numpy(samples)[None], BANDS).decibels for samples in made.samples]
    return (torch.stack(found)[:, None] + 60) / 20 - 1, torch.from_numpy(made.labels)


def accuracy(task: str, pool: str, seed: int, shuffle: bool = False) -> float:
    x, y = recordings(task, seed, 240)
    random = torch.Generator().manual_seed(seed)
    if shuffle:
        y = y[torch.randperm(len(y), generator=random)]
    torch.manual_seed(seed)
    if pool == "time":
        network = framewise(1, 4, (8, 16), gp.Mean(dim=gp.TIME), kept=(60,))
    else:
        network = bandwise(1, 4, (8, 16), gp.Mean(dim=gp.FREQUENCY), kept=(50,))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(40):
        rows = torch.randint(0, len(x), (16,), generator=random)
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        optimiser.step()
    held_x, held_y = recordings(task, 1000 + seed, 160)
    with torch.no_grad():
        return float((network.eval()(held_x).argmax(1) == held_y).float().mean())


@pytest.mark.parametrize(("task", "own", "other"), [("timbre", "time", "frequency"), ("rhythm", "frequency", "time")])
def test_each_pool_wins_its_own_task_and_knows_nothing_of_the_other(task: str, own: str, other: str) -> None:
    found = {pool: [accuracy(task, pool, seed) for seed in SEEDS] for pool in (own, other)}
    sanity = accuracy(task, own, SEEDS[0], shuffle=True)
    print(found, sanity)
    assert min(found[own]) > 0.8
    assert max(found[other]) < 0.4
    assert sanity < 0.45
