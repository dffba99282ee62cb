"""Volumes at another spacing, by MONAI: everything stays at its physical point, and so do the outer borders."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from globalpool.data.volume import Axis, Volume, check_shape, resized_axis
from globalpool.errors import DataError
from globalpool.extras import need


def evened(volume: Volume) -> Volume:
    """The same volume with voxels of equal length: linear between samples on axes whose voxels are not even.

    As many voxels as before, or as many as hold the shortest where that is fewer than twice as many. Itself where it
    is even already. Voxels without a value stay without.
    """
    values, axes = volume.values, list(volume.axes)
    affine = volume.affine
    for number, axis in enumerate(volume.axes):
        if axis.is_even:
            continue
        whole = float(axis.borders[-1])
        count = min(int(np.ceil(whole / axis.lengths.min() - 1e-9)), 2 * len(axis.places))
        check_shape(volume.path, (*values.shape[: number + 1], count, *values.shape[number + 2 :]))
        even = Axis.even(axis.name, axis.unit, count, whole / count)
        values = _linear(values, number + 1, axis.places, even.places)
        affine = resized_axis(affine, number, axis.spacing, even.spacing)
        axes[number] = even
    if axes == list(volume.axes):
        return volume
    return replace(volume, values=values, axes=(axes[0], axes[1], axes[2]), affine=affine)


def at_spacing(volume: Volume, spacing: tuple[float, float, float]) -> Volume:
    """The volume at ``spacing``, lengths of a voxel along its axes in their units, as nearly as whole voxels allow.

    ``monai.transforms.SpatialResample``, trilinear, from border to border; an axis that shrinks is smoothed first, so
    that what is finer than the new voxels does not fold into them. Uneven axes are evened before. Voxels without a
    value take no part; a new voxel of more than half such ones has none.
    """
    if not all(np.isfinite(step) and step > 0 for step in spacing):
        raise DataError("at_spacing", "three positive lengths of a voxel", str(spacing))
    even = evened(volume)
    counts = [
        max(round(own * count / step), 1) for own, count, step in zip(even.spacing, even.shape, spacing, strict=True)
    ]
    check_shape(volume.path, (even.values.shape[0], *counts), f"Choose a coarser spacing than {spacing}.")
    if tuple(counts) == even.shape:
        return even
    exact = tuple(own * old / new for own, old, new in zip(even.spacing, even.shape, counts, strict=True))
    missing = np.isnan(even.values).any(0)
    known = np.where(missing, np.float32(0), even.values)
    affine = even.affine.copy()
    for number, step in enumerate(exact):
        affine = resized_axis(affine, number, even.spacing[number], step)
    values = _resampled(known, even, affine, counts)
    if bool(missing.any()):
        share = _resampled(np.asarray(~missing, dtype=np.float32)[None], even, affine, counts)
        values = np.where(share < 0.5, np.float32(np.nan), values / np.maximum(share, 0.5))
    first, second, third = (
        Axis.even(axis.name, axis.unit, count, step) for axis, count, step in zip(even.axes, counts, exact, strict=True)
    )
    note = f"resampled from {' x '.join(f'{step:g}' for step in even.spacing)} to {' x '.join(f'{s:g}' for s in exact)}"
    return replace(even, values=values, axes=(first, second, third), affine=affine, notes=(*even.notes, note))


def _resampled(
    values: NDArray[np.float32], even: Volume, affine: NDArray[np.float64], counts: list[int]
) -> NDArray[np.float32]:
    transforms = need("monai.transforms", "volumes", "at_spacing")
    meta = need("monai.data", "volumes", "at_spacing").MetaTensor
    factors = [old / new for old, new in zip(even.shape, counts, strict=True)]
    if max(factors) > 1:
        # Half the voxels' new length as deviation leaves little of what the new grid can no longer hold.
        smooth = transforms.GaussianSmooth(sigma=[factor / 2 if factor > 1 else 0.0 for factor in factors])
        # Divided by what a volume of ones becomes: beyond the borders MONAI smooths with zeros.
        ones = smooth(torch.ones(1, *values.shape[1:]))
        values = (smooth(torch.from_numpy(values)) / ones).numpy()
    # Not Spacing: its offset with scale_extent does not keep the outer borders.
    resample = transforms.SpatialResample(mode="bilinear", padding_mode="border", dtype=torch.float64)
    source = meta(torch.from_numpy(values), affine=torch.from_numpy(even.affine))
    moved = resample(source, dst_affine=torch.from_numpy(affine), spatial_size=counts)
    return np.asarray(moved.numpy(), dtype=np.float32)


def _linear(
    values: NDArray[np.float32], axis: int, old: NDArray[np.float64], new: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Linear interpolation along one axis; the nearest sample beyond the outermost."""
    place = np.interp(new, old, np.arange(len(old)))
    low = np.minimum(np.floor(place).astype(np.int64), max(len(old) - 2, 0))
    share = (place - low).astype(np.float32)
    shape = [1] * values.ndim
    shape[axis] = len(new)
    share = share.reshape(shape)
    below, above = (np.take(values, np.minimum(low + step, len(old) - 1), axis=axis) for step in (0, 1))
    # A missing neighbour takes no part where its share is nothing.
    mixed = np.where(share == 0, below, np.where(share == 1, above, below * (1 - share) + above * share))
    return np.asarray(mixed, dtype=np.float32)
