"""A volume: values on a grid of voxels, and where each voxel lies."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import DataError

#: Most numbers in one volume: as float32 they take 1 GiB.
MAX_VALUES = 2**28
#: Lengths along an axis that differ by less than this share of the mean are equal: files round what they write.
EVEN = 1e-3


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a grid: its ``name`` and ``unit``, and in that unit where its voxels lie.

    ``borders (n + 1,)``: voxel ``k`` reaches from ``borders[k]`` to ``borders[k + 1]``, the first border being 0;
    ``places (n,)``: where it was sampled, inside or on its borders (the middle of an evenly spaced voxel).
    """

    name: str
    unit: str
    borders: NDArray[np.float64]
    places: NDArray[np.float64]

    @classmethod
    def even(cls, name: str, unit: str, count: int, spacing: float) -> Self:
        """``count`` voxels of equal length."""
        borders = np.arange(count + 1, dtype=np.float64) * float(spacing)
        return cls(name, unit, borders, (borders[1:] + borders[:-1]) / 2)

    @classmethod
    def at(cls, name: str, unit: str, positions: Sequence[float] | NDArray[np.float64]) -> Self:
        """Voxels sampled at rising ``positions`` (two or more): each reaches halfway to its neighbours.

        The first and the last reach as far out as they reach in.
        """
        places = np.asarray(positions, dtype=np.float64)
        inner = (places[1:] + places[:-1]) / 2
        borders = np.concatenate([[2 * places[0] - inner[0]], inner, [2 * places[-1] - inner[-1]]])
        return cls(name, unit, borders - borders[0], places - borders[0])

    @classmethod
    def of(cls, name: str, unit: str, lengths: Sequence[float] | NDArray[np.float64]) -> Self:
        """Voxels of the given ``lengths``, one after the other."""
        borders = np.concatenate([[0.0], np.cumsum(np.asarray(lengths, dtype=np.float64))])
        return cls(name, unit, borders, (borders[1:] + borders[:-1]) / 2)

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Of each voxel, ``(n,)``."""
        return np.diff(self.borders)

    @property
    def spacing(self) -> float:
        """Mean length of a voxel."""
        return float(self.borders[-1] / len(self.places))

    @property
    def is_even(self) -> bool:
        """Whether all voxels have one length, to 1 in 1,000."""
        return bool(np.ptp(self.lengths) <= EVEN * self.spacing)

    def reversed(self) -> Self:
        """Seen from the other end."""
        whole = self.borders[-1]
        return replace(self, borders=whole - self.borders[::-1], places=whole - self.places[::-1])


@dataclass(frozen=True, eq=False)
class Volume:
    """``values (C, I, J, K)`` float32, NaN where a voxel has none; ``axes``: those of I, J and K.

    ``affine (4, 4)``: from the indices ``(i, j, k, 1)`` of a voxel to millimetres, x to the patient's right, y to the
    front, z to the head (RAS+, as nibabel). On an axis whose voxels are not even it is that of an even grid between
    the same outer borders; ``points`` is exact on every axis. ``notes``: what was done to the file's content.
    """

    path: Path
    values: NDArray[np.float32]
    axes: tuple[Axis, Axis, Axis]
    affine: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        return self.values.shape[1], self.values.shape[2], self.values.shape[3]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Mean length of a voxel along each axis, in the axis' unit."""
        first, second, third = (axis.spacing for axis in self.axes)
        return first, second, third

    def measure(self) -> NDArray[np.float64]:
        """The size of each voxel ``(I, J, K)``, in the product of the axes' units; 0 where a voxel has no value.

        Of a sheared grid it is the true volume, the determinant of the affine.
        """
        first, second, third = (axis.lengths for axis in self.axes)
        sizes: NDArray[np.float64] = first[:, None, None] * second[None, :, None] * third
        slant = abs(float(np.linalg.det(self.affine[:3, :3]))) / float(np.prod(self.spacing))
        return np.where(np.isnan(self.values).any(0), 0.0, sizes * slant)

    def points(self, indices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where voxels are, ``(P, 3)`` indices -> ``(P, 3)`` millimetres; whole indices are where values were sampled.

        Beyond the outermost samples the nearest is taken.
        """
        steps = []
        for axis, index in zip(self.axes, np.asarray(indices, dtype=np.float64).T, strict=True):
            place = np.interp(index, np.arange(len(axis.places)), axis.places)
            steps.append(place / axis.spacing - 0.5)
        return np.stack(steps, 1) @ self.affine[:3, :3].T + self.affine[:3, 3]


def between_borders(affine: NDArray[np.float64], third: Axis) -> NDArray[np.float64]:
    """``Volume.affine`` of uneven slices ``third``, from one whose origin is where the first of them was sampled."""
    direction = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    even = affine.copy()
    even[:3, 3] += direction * (third.spacing / 2 - third.places[0])
    even[:3, 2] = direction * third.spacing
    return even


def resized_axis(affine: NDArray[np.float64], number: int, before: float, after: float) -> NDArray[np.float64]:
    """``affine`` of even voxels with another length along one axis: outer borders stay, the first centre moves."""
    changed = affine.copy()
    direction = affine[:3, number] / before
    changed[:3, 3] += direction * (after - before) / 2
    changed[:3, number] = direction * after
    return changed


def check_shape(path: Path, shape: Sequence[int], hint: str = "") -> None:
    """DataError unless ``(C, I, J, K)`` can be a volume; before anything of that size is made."""
    expected = f"1 to {MAX_VALUES:,} values along channels and three axes"
    if len(shape) != 4 or min(shape) < 1 or int(np.prod(shape, dtype=np.int64)) > MAX_VALUES:
        raise DataError(str(path), expected, " x ".join(map(str, shape)) or "a single number", hint)


def check_values(path: Path, values: NDArray[np.float32], notes: list[str]) -> None:
    """DataError for infinite values and a volume without any; NaN is noted."""
    if bool(np.isinf(values).any()):
        raise DataError(str(path), "finite values", f"{int(np.isinf(values).sum()):,} infinite ones")
    missing = np.isnan(values).any(0)
    if bool(missing.all()):
        raise DataError(str(path), "values", "none at any voxel (NaN)")
    if bool(missing.any()):
        notes.append(f"{int(missing.sum()):,} voxels without a value (NaN) count as absent")
