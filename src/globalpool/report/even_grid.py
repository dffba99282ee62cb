"""What lies on uneven voxels, laid on even ones: every voxel gives what it has to those it covers."""

import numpy as np
from numpy.typing import NDArray

from globalpool.data.volume import Axis, Volume, resized_axis

Array = NDArray[np.float64]
#: Most even voxels for one uneven voxel of mean length.
FINEST = 8


def even_grid(maps: Array, volume: Volume) -> tuple[Array, Array]:
    """``maps (K, I, J, K')`` on the volume's grid -> on an even grid between the same borders, with its affine.

    Sums are kept. Itself where the grid is even; otherwise an axis gets voxels about as long as its shortest, at most
    8 times as many as it had.
    """
    affine = volume.affine
    for number, axis in enumerate(volume.axes):
        if axis.is_even:
            continue
        count = min(int(np.ceil(axis.borders[-1] / axis.lengths.min() - 1e-9)), FINEST * len(axis.places))
        borders = np.linspace(0, axis.borders[-1], count + 1)
        maps = np.moveaxis(np.tensordot(shares(axis, borders), maps, (1, number + 1)), 0, number + 1)
        affine = resized_axis(affine, number, axis.spacing, float(borders[1]))
    return maps, affine


def shares(axis: Axis, borders: Array) -> Array:
    """``(n, voxels)``: the share of each voxel's length that lies between each two neighbours of ``borders``."""
    low = np.maximum(borders[:-1, None], axis.borders[:-1])
    high = np.minimum(borders[1:, None], axis.borders[1:])
    found: Array = np.clip(high - low, 0, None) / axis.lengths
    return found
