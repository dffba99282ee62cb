"""Generated notes and beats: the truth that comes with them is in the sound, and only there."""

import numpy as np
import pytest

from globalpool.data.rhythm import RHYTHMS, rhythm_beats
from globalpool.data.timbre import INSTRUMENTS, timbre_notes
from globalpool.errors import DataError


def amplitudes(wave: np.ndarray, frequencies: np.ndarray, rate: int) -> np.ndarray:
    """Of sines of these frequencies fitted together to a steady stretch, by least squares."""
    time = np.arange(len(wave)) / rate
    phase = 2 * np.pi * frequencies[:, None] * time
    basis = np.concatenate([np.sin(phase), np.cos(phase)]).T
    found = np.linalg.lstsq(basis, wave, rcond=None)[0].reshape(2, -1)
    lengths: np.ndarray = np.hypot(found[0], found[1])
    return lengths


def test_notes_have_the_levels_pitch_and_onset_that_are_told() -> None:
    notes = timbre_notes(3, 12, noise=-100.0)
    for row in range(len(notes)):
        steady = slice(round((notes.onsets[row] + 0.09) * notes.rate), round((notes.ends[row] - 0.09) * notes.rate))
        harmonics = notes.pitches[row] * np.arange(1, 5)
        levels = 20 * np.log10(amplitudes(notes.samples[row, steady].astype(np.float64), harmonics, notes.rate))
        expected = np.asarray(INSTRUMENTS[notes.labels[row]])
        assert np.abs(levels - levels.max() - expected).max() < 0.05
        loud = np.flatnonzero(np.abs(notes.samples[row]) > 1e-3 * notes.gains[row]) / notes.rate
        assert 0 <= loud[0] - notes.onsets[row] < 0.002
        assert 0 <= notes.ends[row] - loud[-1] < 0.005
        assert abs(np.abs(notes.samples[row]).max() - notes.gains[row]) < 1e-3
    assert notes.labels.tolist() == [0, 1, 2, 3] * 3
    assert 240 <= notes.pitches.min() < notes.pitches.max() <= 480
    assert 10 ** (-18 / 20) <= notes.gains.min() < notes.gains.max() <= 10 ** (-6 / 20)


def test_beats_begin_when_the_rhythm_says_and_sound_alike() -> None:
    beats = rhythm_beats(3, 8, noise=-120.0)
    for row in range(len(beats)):
        wave = beats.samples[row].astype(np.float64)
        steps = np.concatenate([[0], np.cumsum(RHYTHMS[beats.labels[row]])])
        assert np.abs(beats.onsets[row] - 0.06 * steps).max() < 1e-12
        first = np.round(beats.onsets[row] * beats.rate).astype(int)
        for start in first[1:]:
            # What is left of the beat before is below -50 dB.
            assert np.abs(wave[start : start + 480] - wave[:480]).max() < 0.003
        energy = np.square(wave).reshape(-1, 160).sum(1)
        onsets = np.flatnonzero(energy > 20 * np.concatenate([[1e-9], energy[:-1]]))
        assert onsets.tolist() == (first // 160).tolist()
        assert amplitudes(wave[:480] * np.exp(np.arange(480) / 160), beats.pitches[[row]] * 1.0, 8000)[0] > 0.2


def test_what_tells_the_classes_apart_is_the_order_alone() -> None:
    assert {tuple(sorted(levels)) for levels in INSTRUMENTS} == {tuple(sorted(INSTRUMENTS[0]))}
    assert {tuple(sorted(steps)) for steps in RHYTHMS} == {tuple(sorted(RHYTHMS[0]))}


def test_a_recording_depends_on_seed_and_row_alone() -> None:
    np.random.seed(0)  # noqa: NPY002 (what must not matter)
    for make in (timbre_notes, rhythm_beats):
        few, many = make(5, 3), make(5, 9)
        assert np.array_equal(few.samples, many.samples[:3])
        assert not np.array_equal(few.samples, make(6, 3).samples)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(DataError, match="expected harmonics up to 4000 Hz; got up to 8000 Hz"):
        timbre_notes(0, 1, lowest=1000.0)
    with pytest.raises(DataError, match=r"expected `note` from 0.16 s to `seconds` = 1 s; got 2 s"):
        timbre_notes(0, 1, note=2.0)
    with pytest.raises(DataError, match="expected a row of harmonic levels for each instrument"):
        timbre_notes(0, 1, instruments=())
    with pytest.raises(DataError, match="expected every beat within `seconds` = 1 s; got one that begins at 2 s"):
        rhythm_beats(0, 1, step=0.2)
    with pytest.raises(DataError, match="expected rhythms of equally many intervals"):
        rhythm_beats(0, 1, rhythms=((1, 2), (3,)))
    with pytest.raises(DataError, match="expected partials up to 4000 Hz; got up to 12000 Hz"):
        rhythm_beats(0, 1, lowest=1000.0, octaves=3.0)
