"""Volumes as one kind of input: scans, flow fields, animations; on their own grid or at one spacing."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalpool.data.facts import Facts
from globalpool.data.find import Found
from globalpool.data.kinds import InputKind
from globalpool.data.spacing import at_spacing
from globalpool.data.volume import EVEN, Volume
from globalpool.data.volume_augmentation import VolumeAugmentation
from globalpool.data.volume_files import find_volumes, read_volume
from globalpool.data.volume_settings import read_settings
from globalpool.errors import DataError
from globalpool.layout import Padded


@dataclass(frozen=True, eq=False)
class Voxels:
    """``values (C, I, J, K)``, prepared; ``measure (I, J, K)``: size of each voxel, None where all have size 1."""

    values: Tensor
    measure: Tensor | None


@dataclass(frozen=True)
class Volumes(InputKind):
    """How volumes become inputs ``(C, I, J, K)``: ``(value - mean) / std`` a channel, each voxel with its size.

    - ``mean``, ``std``: of each channel over the training volumes, each voxel by its size; after the window;
    - ``axes``: names of the three axes, "x", "y", "z" of space or "time", "row", "column";
    - ``voxel``: mean size of a training voxel, which counts as 1: a mean does not change with it, a sum does;
    - ``largest``: lengths of the largest training input, by which memory is told;
    - ``window``: values that become 0 and 1, what lies beyond is cut off; None: values as they are;
    - ``spacing``: length of an input voxel along each axis, by resampling; None: every volume's own grid, on which a
      convolution spans as many voxels but not as many millimetres;
    - ``augmentation``: random changes in training, none by default.

    Voxels without a value become the mean and count as absent.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    axes: tuple[str, str, str] = ("x", "y", "z")
    voxel: float = 1.0
    largest: tuple[int, int, int] = (32, 32, 32)
    window: tuple[float, float] | None = None
    spacing: tuple[float, float, float] | None = None
    flip: float = 0.0
    turn: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    noise: float = 0.0
    light: float = 0.0

    kind: ClassVar[str] = "volumes"
    word: ClassVar[str] = "volume"
    extra: ClassVar[str] = "volumes"
    dims: ClassVar[int] = 3
    suffixes: ClassVar[frozenset[str]] = frozenset(
        (".nii", ".nii.gz", ".npy", ".npz", ".dcm", ".gif", ".apng", ".webp")
    )

    @property
    def channels(self) -> int:
        return len(self.mean)

    @classmethod
    def find(cls, paths: Iterable[str | Path]) -> Found:
        return find_volumes(paths, cls.suffixes)

    @classmethod
    def facts(cls, path: Path) -> Facts:
        volume = read_volume(path)
        lengths = np.concatenate([axis.lengths for axis in volume.axes])
        content = hashlib.sha256(f"{volume.values.shape}".encode() + volume.values.tobytes() + lengths.tobytes())
        return Facts(volume.shape, content.hexdigest())

    @classmethod
    def planned(cls, files: Sequence[Path], settings: Mapping[str, str]) -> Self:
        known = read_settings(settings)
        window, spacing = known.pop("window", None), known.pop("spacing", None)
        count = size = 0.0
        totals: NDArray[np.float64] = np.zeros((2, 1))
        largest, axes = (1, 1, 1), ("x", "y", "z")
        for number, file in enumerate(files):
            volume = read_volume(file)
            if not number:
                totals, axes = np.zeros((2, len(volume.values))), _names(volume)
            _check_like(volume, totals.shape[1], axes)
            measure = volume.measure()
            values = np.nan_to_num(windowed(volume.values, window).astype(np.float64))
            totals += [(values * measure).sum((1, 2, 3)), (values**2 * measure).sum((1, 2, 3))]
            size, count = size + float(measure.sum()), count + float((measure > 0).sum())
            lengths = _lengths(volume, spacing)
            largest = max(largest, lengths, key=lambda sides: int(np.prod(sides)))
        mean, squares = totals / max(size, 1e-300)
        deviation = np.sqrt(np.maximum(squares - mean**2, 0))
        std = np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)  # a channel that never changes stays zero
        voxel = size / max(count, 1) if spacing is None else float(np.prod(spacing))
        return cls(tuple(mean.tolist()), tuple(std.tolist()), axes, voxel, largest, window, spacing, **known)

    def read(self, path: Path) -> Volume:
        """The volume on the grid that goes in, values as in the file."""
        volume = read_volume(path)
        _check_like(volume, self.channels, self.axes)
        return volume if self.spacing is None else at_spacing(volume, self.spacing)

    def prepare(self, item: Volume) -> Voxels:
        mean, std = (torch.tensor(values).reshape(-1, 1, 1, 1) for values in (self.mean, self.std))
        values = (torch.from_numpy(windowed(item.values, self.window)) - mean) / std
        measure = item.measure() / self.voxel
        if np.abs(measure - 1).max() <= EVEN:
            return Voxels(values, None)
        sizes = torch.from_numpy(measure).float()
        return Voxels(torch.where(sizes > 0, values, 0), sizes)

    @cached_property
    def _augmentation(self) -> VolumeAugmentation:
        return VolumeAugmentation(self.flip, self.turn, self.shift, self.zoom, self.noise, self.light)

    def augmented(self, sample: Voxels) -> Voxels:
        return Voxels(*self._augmentation(sample.values, sample.measure))

    def collate(self, samples: Sequence[Voxels]) -> tuple[Any, ...]:
        """One tensor where all samples have one size and no voxel counts more than another, else ``Padded``."""
        values = [sample.values for sample in samples]
        if all(sample.measure is None for sample in samples):
            same = len({one.shape for one in values}) == 1
            return (torch.stack(values) if same else Padded.of(values),)
        ones = [
            torch.ones(one.shape[1:]) if s.measure is None else s.measure
            for one, s in zip(values, samples, strict=True)
        ]
        return (Padded.of(values, ones),)

    def size(self, sample: Voxels) -> tuple[int, ...]:
        return tuple(sample.values.shape[1:])

    def stand_in(self) -> tuple[Any, ...]:
        return (torch.zeros(1, self.channels, 32, 32, 32),)


def windowed(values: NDArray[np.float32], window: tuple[float, float] | None) -> NDArray[np.float32]:
    """``window`` to 0 and 1, cut off beyond; NaN stays NaN."""
    if window is None:
        return values
    low, high = window
    scaled: NDArray[np.float32] = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return scaled


def _check_like(volume: Volume, channels: int, axes: tuple[str, ...]) -> None:
    """DataError unless the volume has these channels and axes."""
    if len(volume.values) != channels:
        hint = "Every volume needs the same channels."
        raise DataError(str(volume.path), f"{channels} channels, as in the others", f"{len(volume.values)}", hint)
    if _names(volume) != tuple(axes):
        hint = "Keep scans and animations apart."
        raise DataError(str(volume.path), f"axes {', '.join(axes)}, as in the others", ", ".join(_names(volume)), hint)


def _names(volume: Volume) -> tuple[str, str, str]:
    first, second, third = (axis.name for axis in volume.axes)
    return first, second, third


def _lengths(volume: Volume, spacing: tuple[float, float, float] | None) -> tuple[int, int, int]:
    if spacing is None:
        return volume.shape
    first, second, third = (
        max(round(float(axis.borders[-1]) / step), 1) for axis, step in zip(volume.axes, spacing, strict=True)
    )
    return first, second, third
