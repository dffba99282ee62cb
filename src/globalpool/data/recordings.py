"""Sound files as a kind of input: spectrograms of any length, without what is silent at their ends."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor

from globalpool.data.audio import SUFFIXES, Recording, read_rate, read_recording, resampled
from globalpool.data.facts import Facts
from globalpool.data.kinds import InputKind
from globalpool.data.spectrograms import Bands, Spectrogram, spectrogram
from globalpool.errors import DataError
from globalpool.layout import Padded

#: Seconds from frame to frame, and under one window of mel bands.
HOP, WINDOW = 0.01, 0.032
#: What the user may say; ``normalization``: one mean and deviation for all bands, or for each its own.
WHOLE = ("rate", "hop", "window", "bands", "frames", "mask_bands", "mask_frames")
REAL = ("lowest", "highest", "floor", "silence", "gain")
WORDS = {"scale": ("mel", "log"), "normalization": ("global", "band")}


@dataclass(frozen=True)
class Recordings(InputKind):
    """Inputs ``(1, bands, T)``: decibels of ``bands`` between ``lowest`` and ``highest`` Hz, normalised.

    ``rate``: Hz to which every file is brought; ``hop``, ``window``: samples; ``scale``, ``floor``: see ``Bands``.
    ``silence``: frames more than so many decibels below the loudest frame of their recording do not count: at either
    end they are left out, within it they have measure 0 (the trunk sees the pause, the pool does not count it); None:
    all count. ``mean``, ``std``: over the training recordings' frames that count, one number, or one a band.
    ``frames``: the length of a time axis that the pool keeps; longer recordings run as windows of it.
    Training alone (Park et al., SpecAugment, 2019): ``gain``: decibels up or down, uniform; ``mask_bands``,
    ``mask_frames``: how many neighbours at most are set to the mean.
    """

    rate: int
    hop: int
    window: int
    bands: int = 64
    scale: Literal["mel", "log"] = "mel"
    lowest: float = 0.0
    highest: float = 4000.0
    floor: float = -80.0
    silence: float | None = 60.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    frames: int | None = None
    gain: float = 0.0
    mask_bands: int = 0
    mask_frames: int = 0

    kind: ClassVar[str] = "audio"
    word: ClassVar[str] = "recording"
    extra: ClassVar[str] = "audio"
    dims: ClassVar[int] = 2
    suffixes: ClassVar[frozenset[str]] = SUFFIXES
    fixed: ClassVar[tuple[int, ...]] = (0,)

    @property
    def channels(self) -> int:
        return 1

    @property
    def kept_length(self) -> int | None:
        return self.frames

    @property
    def filters(self) -> Bands:
        """The bands."""
        own = (self.bands, self.scale, self.lowest, self.highest, self.floor)
        return Bands(self.rate, self.hop, self.window, *own)

    @property
    def frame_seconds(self) -> float:
        """Seconds that each frame stands for."""
        return self.hop / self.rate

    @classmethod
    def facts(cls, path: Path) -> Facts:
        found = read_recording(path)
        told = f"{found.samples.shape} {found.rate}"
        content = hashlib.sha256(told.encode() + found.samples.tobytes()).hexdigest()
        return Facts((found.samples.shape[1],), content)

    @classmethod
    def planned(cls, files: Sequence[Path], settings: Mapping[str, str]) -> Self:
        """By default at the training files' most common rate, 64 mel bands from 0 Hz to half of it."""
        known: dict[str, Any] = {name: _value(name, text) for name, text in settings.items()}
        normalization = known.pop("normalization", "global")
        if "rate" not in known:
            rates = Counter(read_rate(file) for file in files)
            known["rate"] = max(rates, key=lambda rate: (rates[rate], -rate)) if rates else 16000
        rate, log = known["rate"], known.get("scale") == "log"
        usual = {"hop": max(round(HOP * rate), 1), "window": max(round(WINDOW * rate), 1)}
        usual |= {"lowest": rate / 256, "highest": 0.4 * rate} if log else {"lowest": 0.0, "highest": rate / 2}
        plain = cls(**(usual | known))
        spectrogram(torch.zeros(1, 1), plain.filters)  # bands that cannot be are refused before any file is read
        mean, std = plain._statistics(files)
        if normalization == "global":
            # The deviation of all numbers together: within bands and between them.
            mean, std = mean.mean(keepdims=True), np.sqrt((std**2 + (mean - mean.mean()) ** 2).mean(keepdims=True))
        std = np.where(std > 0, std, 1.0)
        return replace(plain, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def _statistics(self, files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each band over all frames that count."""
        count, total, squares = 0, np.zeros(self.bands), np.zeros(self.bands)
        for file in files:
            found = self.spectrogram(self.read(file))
            decibels = found.decibels[:, found.present(self.silence)].double().numpy()
            count += decibels.shape[1]
            total, squares = total + decibels.sum(1), squares + np.square(decibels).sum(1)
        mean = total / max(count, 1)
        return mean, np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))

    def read(self, path: Path) -> Recording:
        return resampled(read_recording(path), self.rate)

    def spectrogram(self, item: Recording) -> Spectrogram:
        """All frames of a recording, silent ones too."""
        return spectrogram(torch.from_numpy(item.samples), self.filters)

    def extent(self, present: Tensor) -> tuple[int, int]:
        """The first frame that goes in, and the one after the last, by which frames count ``(T,)``."""
        there = present.nonzero().flatten()
        return int(there[0]), int(there[-1]) + 1

    def prepare(self, item: Recording) -> Padded:
        """One sample: values ``(1, 1, bands, T)`` and the measure of its frames."""
        found = self.spectrogram(item)
        present = found.present(self.silence)
        first, stop = self.extent(present)
        mean, std = (torch.tensor(values, dtype=torch.float32)[:, None] for values in (self.mean, self.std))
        values = ((found.decibels[:, first:stop] - mean) / std)[None, None]
        measure = None
        if self.silence is not None:
            measure = present[first:stop].float().expand(1, self.bands, -1).contiguous()
        return Padded(values, torch.tensor([values.shape[2:]]), measure)

    def augmented(self, sample: Padded) -> Padded:
        values = sample.values
        mean, std = (torch.tensor(own, dtype=torch.float32)[:, None] for own in (self.mean, self.std))
        if self.gain:
            louder = (2 * torch.rand(()) - 1) * self.gain / std
            values = torch.maximum(values + louder, (self.floor - mean) / std)
        values = values.clone()
        for most, axis in ((self.mask_bands, 2), (self.mask_frames, 3)):
            width = min(int(torch.randint(most + 1, ())), values.shape[axis] // 2)
            first = int(torch.randint(values.shape[axis] - width + 1, ()))
            values.narrow(axis, first, width).zero_()
        return replace(sample, values=values)

    def collate(self, samples: Sequence[Padded]) -> tuple[Padded, ...]:
        measures = [one.measure[0] for one in samples if one.measure is not None]
        return (Padded.of([one.values[0] for one in samples], measures or None),)

    def size(self, sample: Padded) -> tuple[int, ...]:
        return tuple(sample.values.shape[2:])

    def stand_in(self) -> tuple[Padded, ...]:
        return (Padded.of([torch.zeros(1, self.bands, self.frames or 64)]),)


def _value(name: str, text: str) -> Any:
    """A setting in its own type."""
    if name in WORDS:
        if text not in WORDS[name]:
            raise DataError("--inputs", " or ".join(f"{name}={word}" for word in WORDS[name]), f"{name}={text}")
        return text
    if name == "silence" and text == "none":
        return None
    if name not in WHOLE + REAL:
        names = ", ".join(field.name for field in fields(Recordings) if field.name in WHOLE + REAL + ("scale",))
        raise DataError("--inputs", f"settings of recordings: {names}, normalization", name)
    least = None if name == "floor" else 0 if name in ("mask_bands", "mask_frames", "gain", "lowest") else 1
    try:
        value = int(text) if name in WHOLE else float(text)
        wrong = not np.isfinite(value) or (least is not None and value < least)
    except ValueError:
        wrong = True
    if wrong:
        expected = f"{name} as a {'whole ' if name in WHOLE else ''}number"
        raise DataError("--inputs", expected + ("" if least is None else f" of at least {least}"), f"{name}={text}")
    return value
