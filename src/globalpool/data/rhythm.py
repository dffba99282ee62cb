"""Beats in several rhythms at random pitches: which rhythm is in the time, not in the spectrum."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import DataError

#: Steps from beat to beat, a rhythm a row. All have the same intervals in another order: the same moments of sound and
#: of silence occur in each, and only their order tells the rhythms apart.
RHYTHMS = ((2, 3, 5), (5, 3, 2), (3, 5, 2), (2, 5, 3))
#: Seconds after which a beat has fallen to 1/e; its two partials are a fifth apart.
DECAY, PARTIALS = 0.02, (1.0, 1.5)


@dataclass(frozen=True, eq=False)
class Beats:
    """``len(labels)`` recordings; everything about recording ``i`` stands in row ``i``.

    ``samples (N, L)`` float32; ``labels (N,)``: the rhythm; ``pitches (N,)`` in Hz, one a recording; ``onsets (N, B)``
    in seconds: when each of its beats begins.
    """

    samples: NDArray[np.float32]
    labels: NDArray[np.int64]
    pitches: NDArray[np.float64]
    onsets: NDArray[np.float64]
    rate: int

    def __len__(self) -> int:
        return len(self.labels)


def rhythm_beats(
    seed: int,
    count: int,
    *,
    rhythms: Sequence[Sequence[int]] = RHYTHMS,
    rate: int = 8000,
    seconds: float = 1.0,
    step: float = 0.06,
    lowest: float = 220.0,
    octaves: float = 2.5,
    noise: float = -60.0,
) -> Beats:
    """Decaying beats at the onsets of a rhythm, the first at 0; rhythms take turns, the pitch says nothing about them.

    Pitch is log-uniform over ``octaves`` from ``lowest`` Hz on: on a logarithmic axis the recording is moved along.
    ``step``: seconds of one step. ``noise``: white, decibels to full scale. Recording ``i`` depends on ``seed``, ``i``
    and the settings, not on ``count``, and on no global random state.
    """
    if len({len(rhythm) for rhythm in rhythms}) != 1 or any(steps < 1 for rhythm in rhythms for steps in rhythm):
        raise DataError("rhythm_beats", "rhythms of equally many intervals of at least 1 step", str(rhythms))
    starts = step * np.cumsum(np.pad(np.asarray(rhythms), ((0, 0), (1, 0))), axis=1)
    if not step > 0 or starts.max() >= seconds:
        got = f"one that begins at {starts.max():g} s"
        raise DataError("rhythm_beats", f"every beat within `seconds` = {seconds:g} s", got)
    highest = lowest * 2**octaves * max(PARTIALS)
    if not lowest > 0 or octaves < 0 or highest > rate / 2:
        raise DataError("rhythm_beats", f"partials up to {rate / 2:g} Hz", f"up to {highest:g} Hz", "Lower the pitch.")
    length = round(seconds * rate)
    samples, labels = np.empty((count, length), dtype=np.float32), np.arange(count) % len(starts)
    pitches = np.empty(count)
    time = np.arange(length) / rate
    for row, rhythm in enumerate(labels):
        random = np.random.default_rng((seed, 13, row))
        pitches[row] = lowest * 2 ** (octaves * random.random())
        # One beat, repeated: the same sound at each onset, whatever came before it.
        beat = sum(np.sin(2 * np.pi * pitches[row] * partial * time) for partial in PARTIALS) * np.exp(-time / DECAY)
        wave = np.zeros(length)
        for start in starts[rhythm]:
            first = round(start * rate)
            wave[first:] += beat[: length - first]
        samples[row] = 0.25 * wave + 10 ** (noise / 20) * random.standard_normal(length)
    return Beats(samples, labels, pitches, starts[labels], rate)
