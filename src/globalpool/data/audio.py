"""Reading recordings: every sound file becomes float samples by a stated rule, or a DataError with its reason.

The rules: the content decides the format, not the suffix, among those libsndfile reads; whole numbers are scaled so
that full scale is 1, floating-point samples are taken as they are; all channels are kept; a file that ends before its
header says is refused (half a recording would be classified as a whole one), and so are NaN, Inf, no samples at all,
and more than ``MAX_VALUES`` samples over all channels. Input files are opened for reading only.

Another sampling rate is reached by soxr through librosa: band-limited, linear in phase, any pair of rates. A polyphase
filter for 44,101 to 8,000 Hz would need one branch for each of 8,000 phases, and scipy's default window leaves a wide
transition band.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import DataError
from globalpool.extras import need

#: Suffixes by which a folder is searched.
SUFFIXES = frozenset(
    f".{name}"
    for name in ("wav", "wave", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "caf", "w64", "rf64")
)
#: Two gigabytes as float32: three hours of stereo at 44,100 Hz.
MAX_VALUES = 500_000_000
#: Sizes that streams announce who do not know theirs: these and larger ones say nothing.
UNKNOWN_SIZE = 0x7FFFFFFF


@dataclass(frozen=True, eq=False)
class Recording:
    """``samples``: float32 ``(channels, L)``, full scale 1; ``rate``: samples a second (Hz).

    ``notes``: what was done to the file's content to get there.
    """

    path: Path
    samples: NDArray[np.float32]
    rate: int
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return float(self.samples.shape[1] / self.rate)


def read_recording(path: str | Path) -> Recording:
    """Read one sound file by the rules of this module; DataError says why it cannot be read. Needs ``[audio]``."""
    path = Path(path)
    soundfile = need("soundfile", "audio", "read_recording")
    if not path.is_file():
        got = "a folder" if path.is_dir() else "no regular file" if os.path.lexists(path) else "no such file"
        raise DataError(str(path), "a readable sound file", got)
    if path.stat().st_size == 0:
        raise DataError(str(path), "a recording", "an empty file (0 bytes)")
    try:
        # By its number: soundfile takes a name that ends in .raw for headerless samples, whatever the file holds.
        with path.open("rb") as stream, soundfile.SoundFile(stream.fileno(), closefd=False) as file:
            samples, rate = _samples(path, file), int(file.samplerate)
    except PermissionError as error:
        raise DataError(str(path), "a readable sound file", "no permission to read it") from error
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".:") or type(error).__name__
        raise DataError(str(path), "a sound file that can be decoded whole", reason) from error
    return Recording(path, samples, rate)


def _samples(path: Path, file: Any) -> NDArray[np.float32]:
    """All samples ``(channels, L)`` of an open file."""
    announced, channels = int(file.frames), int(file.channels)
    if announced * channels > MAX_VALUES:
        got = f"{announced:,} samples of {channels} channels"
        raise DataError(str(path), f"at most {MAX_VALUES:,} samples over all channels", got, "Cut it into pieces.")
    told = str(file.extra_info)
    short = re.search(r"^data : (\d+) \(should be \d+\)", told, flags=re.MULTILINE)
    known = short is not None and 0 < int(short.group(1)) < UNKNOWN_SIZE
    samples = np.ascontiguousarray(file.read(dtype="float32", always_2d=True).T)
    if known or "ended unexpectedly" in told or samples.shape[1] < announced:
        raise DataError(str(path), "a whole recording", "a file that ends before its header says")
    if samples.shape[1] == 0:
        raise DataError(str(path), "at least one sample", "a header without sound")
    if not bool(np.isfinite(samples).all()):
        raise DataError(str(path), "finite samples", "NaN or Inf")
    return samples


def resampled(recording: Recording, rate: int) -> Recording:
    """The same recording with ``rate`` samples a second; ``ceil(L * rate / own rate)`` of them in each channel."""
    if not isinstance(rate, int) or isinstance(rate, bool) or rate < 1:
        raise DataError("resampled", "`rate` as a whole number of samples a second", repr(rate))
    if recording.rate == rate:
        return recording
    librosa = need("librosa", "audio", "resampled")
    samples: NDArray[np.float32] = librosa.resample(
        recording.samples, orig_sr=recording.rate, target_sr=rate, res_type="soxr_hq"
    )
    note = f"{recording.rate} Hz to {rate} Hz"
    return Recording(recording.path, samples, rate, (*recording.notes, note))


def read_rate(path: Path) -> int:
    """Samples a second, by the header alone; DataError where there is none."""
    soundfile = need("soundfile", "audio", "read_rate")
    try:
        with path.open("rb") as stream, soundfile.SoundFile(stream.fileno(), closefd=False) as file:
            return int(file.samplerate)
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(str(path), "a sound file", str(getattr(error, "error_string", error))) from error
