"""Time series of several channels: .npy arrays and tables of numbers, of any length."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalpool.data.facts import Facts
from globalpool.data.find import holds
from globalpool.data.kinds import InputKind
from globalpool.errors import DataError
from globalpool.layout import Padded

#: A file beyond this many numbers is refused before it is read.
MOST_NUMBERS = 200_000_000
SETTINGS = ("rate", "axis")
#: A channel whose deviation is at most this share of its mean does not change: float32 holds about as much.
STILL = 1e-6


@dataclass(frozen=True, eq=False)
class Signal:
    """``values (C, T)`` float32, in the file's own units; ``notes``: what was done to get there."""

    path: Path
    values: NDArray[np.float32]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signals(InputKind):
    """``mean``, ``std``: of each channel over the training signals; ``rate``: values a second (None: unknown).

    ``axis``: which axis of an array is time, "first" (rows are moments, as in a table) or "last"; arrays of one axis
    are one channel. Inputs are ``(value - mean) / std``, ``(C, T)``, at their own length.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    rate: float | None = None
    axis: str = "last"

    kind: ClassVar[str] = "signals"
    word: ClassVar[str] = "signal"
    extra: ClassVar[str] = "images"
    dims: ClassVar[int] = 1
    suffixes: ClassVar[frozenset[str]] = frozenset((".npy", ".csv", ".tsv"))

    @property
    def channels(self) -> int:
        return len(self.mean)

    @classmethod
    def facts(cls, path: Path) -> Facts:
        values = _array(path)
        content = hashlib.sha256(f"{values.shape}".encode() + values.tobytes()).hexdigest()
        return Facts((max(values.shape),), content)

    @classmethod
    def planned(cls, files: Sequence[Path], settings: Mapping[str, str]) -> Self:
        if unknown := sorted(set(settings) - set(SETTINGS)):
            raise DataError("--inputs", f"{' and '.join(SETTINGS)} of signals", unknown[0])
        axis = settings.get("axis", "first" if files and files[0].suffix.lower() in (".csv", ".tsv") else "last")
        if axis not in ("first", "last"):
            raise DataError("--inputs", "axis=first or axis=last", f"axis={axis}")
        rate = None if "rate" not in settings else _positive("rate", settings["rate"])
        plain = cls((0.0,), (1.0,), rate, axis)
        count, total, squares = 0, np.zeros(1), np.zeros(1)
        for file in files:
            values = plain._oriented(_array(file)).astype(np.float64)
            if not count and "axis" not in settings and len(values) > values.shape[1] > 1:
                got = f"{len(values)} channels of {values.shape[1]} values, by axis={axis}"
                hint = "Say --inputs axis=first or axis=last."
                raise DataError(str(file), "which axis is time", got, hint)
            if count and len(values) != len(total):
                hint = "Every signal needs the same channels; see axis=first and axis=last."
                raise DataError(str(file), f"{len(total)} channels, as in the others", f"{len(values)}", hint)
            count += values.shape[1]
            total, squares = total + values.sum(1), squares + np.square(values).sum(1)
        mean = total / max(count, 1)
        deviation = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
        # A channel that never changes stays zero: what its sums round to is no deviation.
        std = np.where(deviation > STILL * np.abs(mean), deviation, 1.0)
        return cls(tuple(mean.tolist()), tuple(std.tolist()), rate, axis)

    def read(self, path: Path) -> Signal:
        values = self._oriented(_array(path))
        if len(values) != self.channels:
            hint = "Put time along the axis that it had in training."
            raise DataError(str(path), f"{self.channels} channels", f"{len(values)} channels", hint)
        return Signal(path, values)

    def prepare(self, item: Signal) -> Tensor:
        mean, std = (torch.tensor(values)[:, None] for values in (self.mean, self.std))
        return (torch.from_numpy(item.values) - mean) / std

    def stand_in(self) -> tuple[Padded, ...]:
        return (Padded.of([torch.zeros(self.channels, 256)]),)

    def _oriented(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(C, T)``."""
        if values.ndim == 1:
            return values[None]
        return np.ascontiguousarray(values.T) if self.axis == "first" else values


def _array(path: Path) -> NDArray[np.float32]:
    """The numbers of one file, as they lie in it: ``(T,)`` or two axes."""
    if not holds(path.is_file):
        raise DataError(str(path), "a readable signal file", "a folder" if holds(path.is_dir) else "no such file")
    try:
        values = np.load(path, allow_pickle=False, mmap_mode="r") if path.suffix.lower() == ".npy" else _table(path)
    except DataError:
        raise
    except Exception as error:  # readers raise whatever a damaged file makes them stumble over
        reason = f"{type(error).__name__}: {error}".strip().rstrip(".:")
        raise DataError(str(path), "an array or a table of numbers", reason) from error
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2) or 0 in values.shape:
        raise DataError(str(path), "real numbers along one or two axes", f"{values.dtype} {values.shape}")
    if values.size > MOST_NUMBERS:
        raise DataError(str(path), f"at most {MOST_NUMBERS:,} numbers", f"{values.size:,}")
    found = np.array(values, dtype=np.float32)
    if not np.isfinite(found).all():
        hint = "Fill the gaps, or cut them out."
        raise DataError(str(path), "finite numbers", f"NaN or Inf in {int((~np.isfinite(found)).sum())} places", hint)
    return found


def _table(path: Path) -> NDArray[np.float64]:
    """Rows of numbers; a first row of names is passed over."""
    text = path.read_text(encoding="utf-8-sig")
    mark = "\t" if path.suffix.lower() == ".tsv" else next((m for m in ",;\t" if m in text.split("\n", 1)[0]), ",")
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=mark) if any(cell.strip() for cell in row)]
    if rows and not _is_number(rows[0][0]):
        rows = rows[1:]
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]) or not all(map(_is_number, row)):
            raise DataError(str(path), f"{len(rows[0])} numbers in every row", f"{','.join(row)!r} in row {number + 1}")
    return np.array([[float(cell) for cell in row] for row in rows])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _positive(name: str, text: str) -> float:
    if not _is_number(text) or not float(text) > 0:
        raise DataError("--inputs", f"{name}=NUMBER above zero", f"{name}={text}")
    return float(text)
