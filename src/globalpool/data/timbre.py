"""Notes of several instruments at random pitches and moments: which instrument is in the spectrum, not in the time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import DataError

#: Level of each harmonic in decibels, an instrument a row. All have the same four levels in another order: at any
#: moment the same amounts of sound lie in the bands, and only where they lie tells the instruments apart.
INSTRUMENTS = (
    (0.0, -10.0, -20.0, -30.0),
    (-30.0, -20.0, -10.0, 0.0),
    (0.0, -20.0, -30.0, -10.0),
    (-20.0, 0.0, -10.0, -30.0),
)
#: Seconds over which a note rises, and falls: slowly, as low bands answer slowly and would tell their level by that.
SLOPE = 0.08


@dataclass(frozen=True, eq=False)
class Notes:
    """``len(labels)`` recordings of one note each; everything about recording ``i`` stands in row ``i``.

    ``samples (N, L)`` float32; ``labels (N,)``: the instrument; ``pitches (N,)`` in Hz; ``gains (N,)``: the loudest
    sample of the note, 1 being full scale; ``onsets (N,)`` and ``ends (N,)`` in seconds: outside them there is nothing
    but noise.
    """

    samples: NDArray[np.float32]
    labels: NDArray[np.int64]
    pitches: NDArray[np.float64]
    gains: NDArray[np.float64]
    onsets: NDArray[np.float64]
    ends: NDArray[np.float64]
    rate: int

    def __len__(self) -> int:
        return len(self.labels)


def timbre_notes(
    seed: int,
    count: int,
    *,
    instruments: Sequence[Sequence[float]] = INSTRUMENTS,
    rate: int = 8000,
    seconds: float = 1.0,
    note: float = 0.4,
    lowest: float = 240.0,
    octaves: float = 1.0,
    noise: float = -60.0,
) -> Notes:
    """Harmonic notes of ``note`` seconds; instruments take turns, pitch and onset say nothing about them.

    Pitch is log-uniform over ``octaves`` from ``lowest`` Hz on, the onset uniform over the places where the whole note
    fits in ``seconds``, phases are uniform, the loudest sample lies uniformly from -18 to -6 dB. ``noise``: white,
    decibels to full scale. Recording ``i`` depends on ``seed``, ``i`` and the settings, not on ``count``, and on no
    global random state.
    """
    table = np.asarray(instruments, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise DataError("timbre_notes", "a row of harmonic levels for each instrument", f"shape {table.shape}")
    highest = lowest * 2**octaves * table.shape[1]
    if not lowest > 0 or octaves < 0 or highest > rate / 2:
        hint = "Lower the pitch, or take fewer harmonics."
        raise DataError("timbre_notes", f"harmonics up to {rate / 2:g} Hz", f"up to {highest:g} Hz", hint)
    if not 2 * SLOPE <= note <= seconds:
        expected = f"`note` from {2 * SLOPE:g} s to `seconds` = {seconds:g} s"
        raise DataError("timbre_notes", expected, f"{note:g} s")
    length = round(seconds * rate)
    samples, labels = np.empty((count, length), dtype=np.float32), np.arange(count) % len(table)
    pitches, gains, onsets = np.empty(count), np.empty(count), np.empty(count)
    time = np.arange(length) / rate
    harmonics = np.arange(1, table.shape[1] + 1)[:, None]
    for row, instrument in enumerate(labels):
        random = np.random.default_rng((seed, 12, row))
        pitches[row] = lowest * 2 ** (octaves * random.random())
        onsets[row] = (seconds - note) * random.random()
        since = time - onsets[row]
        phases = 2 * np.pi * random.random((table.shape[1], 1))
        amplitudes = 10 ** (table[instrument] / 20)
        wave = amplitudes @ np.sin(2 * np.pi * pitches[row] * harmonics * since + phases)
        wave *= np.clip(np.minimum(since, note - since) / SLOPE, 0, 1)
        gains[row] = 10 ** (-(6 + 12 * random.random()) / 20)
        wave *= gains[row] / np.abs(wave).max()
        samples[row] = wave + 10 ** (noise / 20) * random.standard_normal(length)
    return Notes(samples, labels, pitches, gains, onsets, onsets + note, rate)
