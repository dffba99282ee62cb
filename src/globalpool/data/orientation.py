"""Volumes turned so that their axes run to the right, to the front and to the head, as nearly as they can."""

from dataclasses import replace

import numpy as np

from globalpool.data.volume import Axis, Volume
from globalpool.errors import DataError
from globalpool.extras import need

#: From DICOM's millimetres (x to the patient's left, y to the back) to those of NIfTI and nibabel.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def canonical(volume: Volume) -> Volume:
    """The same voxels at the same points, axes permuted and reversed to the closest RAS+; nothing is resampled.

    DataError for an affine that is not finite or flattens the grid.
    """
    affine = np.asarray(volume.affine, dtype=np.float64)
    lengths = np.linalg.norm(affine[:3, :3], axis=0) if affine.shape == (4, 4) else np.zeros(3)
    flat = not np.isfinite(affine).all() or not bool((lengths > 0).all())
    if flat or abs(np.linalg.det(affine[:3, :3] / np.where(lengths > 0, lengths, 1))) < 1e-6:
        hint = "Three axes must lead in three directions."
        raise DataError(str(volume.path), "an invertible affine of 4 x 4", str(affine.tolist()), hint)
    orientations = need("nibabel", "volumes", "read_volume").orientations
    turn = orientations.io_orientation(affine)
    if np.array_equal(turn, [[0, 1], [1, 1], [2, 1]]):
        return volume
    axes: dict[int, Axis] = {}
    for axis, (output, way) in zip(volume.axes, turn, strict=True):
        axes[int(output)] = axis if way > 0 else axis.reversed()
    names = ["x", "y", "z"]
    kept = {axis.name for axis in volume.axes} == set(names)
    first, second, third = (replace(axes[i], name=names[i]) if kept else axes[i] for i in range(3))
    # Orientations speak of the leading axes, channels come first here.
    values = np.moveaxis(orientations.apply_orientation(np.moveaxis(volume.values, 0, -1), turn), -1, 0)
    turned = affine @ orientations.inv_ornt_aff(turn, volume.shape)
    return replace(volume, values=np.ascontiguousarray(values), axes=(first, second, third), affine=turned)
