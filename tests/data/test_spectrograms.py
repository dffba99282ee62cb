"""Spectrograms against plain loops, and what the frames promise."""

import numpy as np
import pytest
import torch

from globalpool.data.spectrograms import Bands, spectrogram
from globalpool.errors import DataError
from tests.data.sounds import tone

MEL = Bands(8000, hop=80, window=256)
LOG = Bands(8000, hop=160, window=1, count=60, scale="log", lowest=110.0, highest=3300.0, floor=-100.0)


def noise(length: int, channels: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(channels, length, generator=torch.Generator().manual_seed(length))


def slow(samples: np.ndarray, frame: int, frequency: float) -> float:
    """Power of one constant-Q band of one frame in float64, sample by sample; a full-scale sine has 1."""
    ratio = (LOG.highest / LOG.lowest) ** (1 / (LOG.count - 1))
    bandwidth = (ratio**2 - 1) / (ratio**2 + 1)
    length = LOG.rate / frequency / bandwidth
    places = np.arange(-length // 2, length // 2)
    window = np.sin(np.pi * np.arange(len(places)) / len(places)) ** 2
    wave = window * np.exp(2j * np.pi * frequency * places / LOG.rate)
    size = 2 ** int(np.ceil(np.log2(LOG.rate / LOG.lowest / bandwidth)))
    first = frame * LOG.hop - (size - LOG.hop) // 2 + (size - len(wave)) // 2
    total = 0j
    for number, value in enumerate(np.conj(wave)):
        if 0 <= first + number < len(samples):
            total += value * samples[first + number]
    return float(abs(2 * total / window.sum()) ** 2)


def test_constant_q_bands_are_those_of_the_plain_loop() -> None:
    samples = noise(4000)
    found = spectrogram(samples, LOG).decibels
    assert found.shape == (60, 25)
    for frame in (0, 11, 24):
        for band in (0, 17, 59):
            expected = 10 * np.log10(slow(samples[0].double().numpy(), frame, LOG.centres[band]))
            assert abs(float(found[band, frame]) - expected) < 0.05


def test_mel_bands_are_those_of_the_plain_loop() -> None:
    librosa = pytest.importorskip("librosa")
    samples = noise(1000)
    found = spectrogram(samples, MEL).decibels
    filters = librosa.filters.mel(sr=8000, n_fft=256, n_mels=64, fmin=0, fmax=4000, norm=None)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    for frame in (0, 6, 12):
        first = frame * 80 - 88
        cut = np.array([samples[0, i].double() if 0 <= i < 1000 else 0.0 for i in range(first, first + 256)])
        power = np.abs(np.fft.rfft(cut * window)) ** 2 * 4 / (256 * (window**2).sum())
        assert np.abs(found[:, frame].numpy() - 10 * np.log10(filters @ power)).max() < 1e-3


@pytest.mark.parametrize("bands", [MEL, LOG])
def test_full_scale_is_zero_decibels_and_the_floor_is_the_floor(bands: Bands) -> None:
    frequency = float(bands.centres[40])
    loud = spectrogram(torch.from_numpy(tone(frequency, 1.0, amplitude=1.0))[None], bands)
    middle = loud.decibels.shape[1] // 2
    powers = 10 ** (loud.decibels[:, middle] / 10)
    assert abs(10 * float((powers.max() if bands.scale == "log" else powers.sum()).log10())) < 0.1
    assert abs(float(loud.levels[middle])) < 0.1
    assert int(loud.decibels[:, middle].argmax()) == 40
    quiet = spectrogram(torch.zeros(1, 800), bands)
    assert bool((quiet.decibels == bands.floor).all())
    assert bool(quiet.levels.isneginf().all())
    assert bool(quiet.present(60.0).all())


@pytest.mark.parametrize("bands", [MEL, LOG])
def test_appended_silence_changes_no_frame_and_is_masked(bands: Bands) -> None:
    for length in (bands.hop * 30, bands.hop * 30 + 7, 5):
        samples = noise(length, channels=2)
        alone = spectrogram(samples, bands)
        longer = spectrogram(torch.nn.functional.pad(samples, (0, 4321)), bands)
        frames = bands.frames(length)
        assert alone.decibels.shape == (bands.count, frames)
        torch.testing.assert_close(longer.decibels[:, :frames], alone.decibels, rtol=0, atol=1e-4)
        there = longer.present(60.0)
        assert bool(there[:frames].equal(alone.present(60.0)))
        assert not bool(there[frames:].any())
        assert bool(longer.present(None).all())


@pytest.mark.parametrize("bands", [MEL, LOG])
def test_circular_frames_follow_a_circular_shift(bands: Bands) -> None:
    samples = noise(bands.hop * 40)
    first = spectrogram(samples, bands, "circular").decibels
    moved = spectrogram(samples.roll(7 * bands.hop, 1), bands, "circular").decibels
    torch.testing.assert_close(moved, first.roll(7, 1), rtol=0, atol=1e-3)
    plain = spectrogram(samples.roll(7 * bands.hop, 1), bands).decibels
    assert float((plain - spectrogram(samples, bands).decibels.roll(7, 1)).abs().max()) > 0.5
    with pytest.raises(DataError, match="expected whole hops for circular padding"):
        spectrogram(samples[:, :-1], bands, "circular")


def test_long_recordings_go_in_blocks_with_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = noise(8000, channels=2)
    whole = spectrogram(samples, MEL).decibels
    monkeypatch.setattr("globalpool.data.spectrograms.BLOCK", 7)
    torch.testing.assert_close(spectrogram(samples, MEL).decibels, whole, rtol=0, atol=1e-4)


def test_channels_of_opposite_sign_do_not_cancel() -> None:
    samples = noise(2000)
    both = spectrogram(torch.cat([samples, -samples]), MEL)
    torch.testing.assert_close(both.decibels, spectrogram(samples, MEL).decibels)
    torch.testing.assert_close(both.levels, spectrogram(samples, MEL).levels)


def test_a_pitch_change_is_a_translation_on_the_logarithmic_axis_alone() -> None:
    steps = 12
    gap = {}
    for bands in (LOG, Bands(8000, 160, 512, 60, "mel", 110.0, 3300.0, -100.0)):
        ratio = float(bands.centres[25 + steps] / bands.centres[25])
        notes = []
        for pitch in (float(bands.centres[10]), float(bands.centres[10]) * ratio):
            wave = np.sum([tone(pitch * harmonic, 1.0) / harmonic for harmonic in (1, 2, 3)], axis=0)
            notes.append(spectrogram(torch.from_numpy(wave)[None], bands).decibels[:, 25].clamp(min=-60))
        gap[bands.scale] = float((notes[1][steps:] - notes[0][:-steps]).abs().mean())
    print(gap)
    assert gap["log"] < 1.0
    assert gap["mel"] > 5.0


def test_bands_that_cannot_be_are_refused() -> None:
    with pytest.raises(DataError, match="expected `hop` as a whole number of at least 1; got 0"):
        Bands(8000, 0, 256)
    with pytest.raises(DataError, match="expected `lowest` < `highest` <= 4000 Hz, half the rate; got 0 to 5000 Hz"):
        Bands(8000, 80, 256, highest=5000.0)
    with pytest.raises(DataError, match="cannot begin at 0 Hz"):
        Bands(8000, 80, 256, scale="log")
    with pytest.raises(DataError, match=r"expected bands that each hold a frequency .* Fewer, or a longer window"):
        spectrogram(noise(800), Bands(8000, 80, 64, count=100))
    with pytest.raises(DataError, match="expected the uppermost band below 4000 Hz; got one around 3990 Hz"):
        spectrogram(noise(800), Bands(8000, 80, 1, 30, "log", 110.0, 3990.0))
    with pytest.raises(DataError, match=r"expected samples \(channels, L\), at least one; got \(5,\)"):
        spectrogram(torch.zeros(5), MEL)
    with pytest.raises(DataError, match="expected `silence` in decibels below the loudest, above 0; got -3"):
        spectrogram(noise(800), MEL).present(-3)
