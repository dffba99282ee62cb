"""NIfTI files: scans, several channels or time points, RGB, vector fields."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.data.orientation import canonical
from globalpool.data.volume import Axis, Volume, check_shape, check_values
from globalpool.errors import DataError
from globalpool.extras import need

#: Millimetres of the units a header may name.
MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


def read_nifti(path: Path) -> Volume:
    """One volume in RAS+ and millimetres, with the header's scaling of values applied.

    A fourth axis (time, contrasts), the fifth axis of a vector field and the colours of RGB voxels are channels.
    Where the header has no orientation, nibabel's rule for such files is taken and noted. DataError says why a file
    cannot be read; a file that ends early is refused.
    """
    nibabel = need("nibabel", "volumes", "read_volume")
    notes: list[str] = []
    try:
        image = nibabel.load(path)
        header = image.header
        array = _channels_last(path, image.shape, image.get_data_dtype())
        raw = np.asanyarray(image.dataobj)
    except DataError:
        raise
    except Exception as error:  # nibabel, gzip and numpy each have errors of their own for damaged files
        reason = f"{type(error).__name__}: {error}".strip().rstrip(".:")
        raise DataError(str(path), "a NIfTI file that can be read whole", reason) from error
    if raw.dtype.names is not None:
        raw = np.stack([raw[name] for name in raw.dtype.names], -1)
    if np.iscomplexobj(raw):
        hint = "Save its magnitude, or real and imaginary parts as two channels."
        raise DataError(str(path), "real values", f"complex ones ({raw.dtype})", hint)
    values = np.moveaxis(raw.reshape(array), -1, 0).astype(np.float32)
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        notes.append("no orientation in the header: axes taken as nibabel does")
    unit = str(header.get_xyzt_units()[0])
    if unit == "unknown":
        notes.append("no unit of length in the header: millimetres assumed")
    scale = MILLIMETRES[unit]
    affine: NDArray[np.float64] = np.diag([scale, scale, scale, 1.0]) @ np.asarray(image.affine, dtype=np.float64)
    check_values(path, values, notes)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    counts = values.shape[1:]
    first, second, third = (
        Axis.even(name, "mm", count, length) for name, count, length in zip("xyz", counts, lengths, strict=True)
    )
    return canonical(Volume(path, values, (first, second, third), affine, tuple(notes)))


def _channels_last(path: Path, shape: tuple[int, ...], dtype: Any) -> tuple[int, int, int, int]:
    """``(I, J, K, C)`` of a file's shape; the check comes before its values are read."""
    colours = len(dtype.names) if dtype.names is not None else 1
    spatial, rest = tuple(shape[:3]), [side for side in shape[3:] if side != 1]
    if len(spatial) < 3 or len(rest) > 1 or (rest and colours > 1):
        got = f"{' x '.join(map(str, shape))}" + (f" of {colours} colours" if colours > 1 else "")
        raise DataError(str(path), "three axes of space and one of channels or time", got, "Save one part a file.")
    channels = rest[0] if rest else colours
    check_shape(path, (channels, *spatial))
    return spatial[0], spatial[1], spatial[2], channels
