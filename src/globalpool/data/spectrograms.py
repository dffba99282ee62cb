"""Recordings to spectrograms: frames that share out the time, bands in hertz, decibels above a stated floor.

Frame ``t`` owns the samples ``[t * hop, (t + 1) * hop)`` and looks at the window around their middle, so the frames
share out the recording: a second of sound is a second of frames, and what is appended changes no earlier frame. Beyond
the ends there are zeros, or the recording's other end (``padding="circular"``: a shift by a multiple of ``hop`` is then
exactly a shift of the frames).
"""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalpool.errors import DataError
from globalpool.extras import need

#: Frames that are transformed at once: spectra are many times as large as the bands.
BLOCK = 2048


@dataclass(frozen=True)
class Bands:
    """How sound becomes bands: ``count`` of them between ``lowest`` and ``highest`` (Hz), at ``rate`` samples a second.

    - ``scale="mel"``: librosa's triangular filters (Slaney's scale, peaks of 1) over the power spectrum of Hann windows
      of ``window`` samples. A pitch change moves the bands only roughly along.
    - ``scale="log"``: constant-Q filters (Brown 1991; as one matrix over a spectrum, Brown and Puckette 1992) centred
      at equal ratios: a pitch change is a translation along the axis. ``window`` plays no part: low bands listen
      longer, ``Q`` periods each.

    ``hop``: samples from frame to frame. ``floor``: decibels below which everything counts as the floor, 0 being a
    sine of full scale.
    """

    rate: int
    hop: int
    window: int
    count: int = 64
    scale: Literal["mel", "log"] = "mel"
    lowest: float = 0.0
    highest: float = 4000.0
    floor: float = -80.0

    def __post_init__(self) -> None:
        for name, whole in (("rate", self.rate), ("hop", self.hop), ("window", self.window), ("count", self.count)):
            if not isinstance(whole, int) or isinstance(whole, bool) or whole < 1:
                raise DataError("Bands", f"`{name}` as a whole number of at least 1", repr(whole))
        if self.scale not in ("mel", "log"):
            raise DataError("Bands", '`scale` "mel" or "log"', repr(self.scale))
        least = self.lowest > 0 if self.scale == "log" else self.lowest >= 0
        if not (least and self.lowest < self.highest <= self.rate / 2):
            expected = f"`lowest` < `highest` <= {self.rate / 2:g} Hz, half the rate"
            hint = "A logarithmic scale cannot begin at 0 Hz." if self.scale == "log" else ""
            raise DataError("Bands", expected, f"{self.lowest:g} to {self.highest:g} Hz", hint)
        if self.scale == "log" and self.count < 2:
            raise DataError("Bands", "at least 2 logarithmic bands", str(self.count))
        if not np.isfinite(self.floor):
            raise DataError("Bands", "`floor` as a finite number of decibels", repr(self.floor))

    @property
    def centres(self) -> NDArray[np.float64]:
        """Frequency of each band, ``(count,)`` in Hz."""
        if self.scale == "log":
            return np.geomspace(self.lowest, self.highest, self.count)
        librosa = need("librosa", "audio", "Bands")
        found: NDArray[np.float64] = librosa.mel_frequencies(self.count + 2, fmin=self.lowest, fmax=self.highest)
        return found[1:-1]

    def frames(self, length: int) -> int:
        """How many frames ``length`` samples have."""
        return -(-length // self.hop)


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """Bands of frames, in decibels to a sine of full scale.

    ``decibels``: ``(F, T)`` float32, at least the floor; ``levels (T,)``: of the samples that each frame owns, over
    all frequencies, -inf where all are zero.
    """

    decibels: Tensor
    levels: Tensor

    def present(self, silence: float | None) -> Tensor:
        """``(T,)`` bool: frames at most ``silence`` decibels below the recording's loudest frame; None: all.

        Relative, so that a quiet recording is not taken for silence; nothing but zeros has no louder part and stays.
        """
        if silence is None:
            return torch.ones_like(self.levels, dtype=torch.bool)
        if not silence > 0:
            raise DataError("Spectrogram.present", "`silence` in decibels below the loudest, above 0", repr(silence))
        return self.levels >= self.levels.max() - silence


def spectrogram(samples: Tensor, bands: Bands, padding: Literal["zero", "circular"] = "zero") -> Spectrogram:
    """Of ``(channels, L)`` float samples: ``ceil(L / hop)`` frames.

    Powers are averaged over channels, not samples: channels of opposite sign would cancel. Spectra are held of
    ``BLOCK`` frames at once. Circular frames need ``L`` in whole hops.
    """
    if samples.ndim != 2 or 0 in samples.shape:
        raise DataError("spectrogram", "samples (channels, L), at least one", str(tuple(samples.shape)))
    length, frames = samples.shape[1], bands.frames(samples.shape[1])
    if padding not in ("zero", "circular"):
        raise DataError("spectrogram", '`padding` "zero" or "circular"', repr(padding))
    if padding == "circular" and length % bands.hop:
        got = f"{length} samples and a hop of {bands.hop}"
        raise DataError("spectrogram", "whole hops for circular padding", got, "Cut or pad the recording.")
    matrix, window = _filters(bands)
    before = (len(window) - bands.hop) // 2
    powers = []
    for first in range(0, frames, BLOCK):
        count = min(BLOCK, frames - first)
        start = first * bands.hop - before
        cut = _cut(samples, start, start + (count - 1) * bands.hop + len(window), padding == "circular")
        spectra = torch.stft(cut, len(window), bands.hop, window=window, center=False, return_complex=True)
        if matrix.is_complex():
            powers.append((matrix @ spectra).abs().square().mean(0))
        else:
            powers.append(matrix @ spectra.abs().square().mean(0))
    decibels = 10 * torch.cat(powers, 1).clamp(min=10 ** (bands.floor / 10)).log10()
    owned = torch.nn.functional.pad(samples.square().mean(0), (0, frames * bands.hop - length))
    return Spectrogram(decibels, 10 * (2 * owned.reshape(frames, bands.hop).mean(1)).log10())


def _cut(samples: Tensor, start: int, stop: int, circular: bool) -> Tensor:
    """``samples[:, start:stop]`` as if they went on beyond both ends."""
    length = samples.shape[1]
    if circular:
        return samples[:, torch.arange(start, stop) % length]
    inside = samples[:, max(start, 0) : max(min(stop, length), 0)]
    left = min(max(-start, 0), stop - start)
    return torch.nn.functional.pad(inside, (left, stop - start - left - inside.shape[1]))


@lru_cache(maxsize=8)
def _filters(bands: Bands) -> tuple[Tensor, Tensor]:
    """The matrix from spectra to bands and the window of the transform; a sine of full scale has power 1."""
    librosa = need("librosa", "audio", "spectrogram")
    if bands.scale == "log":
        _, cutoff = librosa.filters.wavelet_lengths(freqs=bands.centres, sr=bands.rate, window="hann")
        if cutoff > bands.rate / 2:
            got = f"one around {bands.highest:g} Hz that reaches {cutoff:.0f} Hz"
            hint = "Lower `highest`, or take more bands."
            raise DataError("Bands", f"the uppermost band below {bands.rate / 2:g} Hz", got, hint)
        filters, _ = librosa.filters.wavelet(freqs=bands.centres, sr=bands.rate, window="hann", pad_fft=True, norm=1)
        size = filters.shape[1]
        # By Parseval a product of spectra is the product in time; a real sine has half its amplitude at either sign.
        spectra = np.conj(np.fft.fft(filters, axis=1))[:, : size // 2 + 1] * (2 / size)
        return torch.from_numpy(spectra.astype(np.complex64)), torch.ones(size)
    size = 2 ** int(np.ceil(np.log2(max(bands.window, bands.hop))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty bands, which are refused below
        filters = librosa.filters.mel(
            sr=bands.rate, n_fft=size, n_mels=bands.count, fmin=bands.lowest, fmax=bands.highest, norm=None
        )
    empty = np.flatnonzero(filters.max(1) == 0)
    if len(empty):
        got = f"{bands.count} bands over {size // 2 + 1} frequencies, of which {len(empty)} hold none"
        raise DataError("Bands", "bands that each hold a frequency of the transform", got, "Fewer, or a longer window.")
    window = torch.hann_window(bands.window)
    left = (size - bands.window) // 2
    window = torch.nn.functional.pad(window, (left, size - bands.window - left))
    scale = 4 / (size * float(window.double().square().sum()))
    return torch.from_numpy(filters.astype(np.float32) * scale), window
