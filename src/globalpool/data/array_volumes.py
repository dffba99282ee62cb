"""NumPy files as volumes: scans, stacks of slices, flow fields, with what they say about lengths."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.data.orientation import canonical
from globalpool.data.volume import Axis, Volume, between_borders, check_shape, check_values
from globalpool.errors import DataError

#: Names in an npz that say where voxels lie; everything else holds values.
PLACES = ("spacing", "affine", "slices", "thickness")


def read_array(path: Path) -> Volume:
    """``(I, J, K)`` or, channels first, ``(C, I, J, K)``, as a volume in the order of the file's axes.

    An npz holds ``values`` (or one array of any name; ``u``, ``v``, ``w`` and the like, all of one shape ``(I, J, K)``,
    are channels in the order of the file) and may hold, in millimetres: ``spacing`` (3,) or one number;
    ``affine`` (4, 4), from indices to RAS+, by which the volume is turned upright; ``slices`` (K,), rising positions of
    slices that need not be even, or ``thickness`` (K,), the lengths of touching ones. Without any, voxels have length
    1, which is noted. Complex values and objects are refused.
    """
    notes: list[str] = []
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"values": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except Exception as error:  # a damaged archive shows itself as zip, zlib, value or end-of-file errors
        reason = f"{type(error).__name__}: {error}".strip().rstrip(".:")
        raise DataError(str(path), "a NumPy file (.npy or .npz) that can be read whole", reason) from error
    said = {name: _numbers(path, name, arrays.pop(name)) for name in PLACES if name in arrays}
    values = _values(path, arrays)
    check_values(path, values, notes)
    axes, affine = _grid(path, values.shape[1:], said, notes)
    volume = Volume(path, values, axes, affine, tuple(notes))
    return canonical(volume) if "affine" in said else volume


def _values(path: Path, arrays: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    shapes = {array.shape for array in arrays.values()}
    if "values" in arrays:
        values = arrays["values"]
    elif len(arrays) == 1:
        values = next(iter(arrays.values()))
    elif arrays and len(shapes) == 1 and len(next(iter(shapes))) == 3:
        values = np.stack(list(arrays.values()))
    else:
        got = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "none"
        hint = "Name the array `values`, channels first."
        raise DataError(str(path), "one array of values, or channels of one shape (I, J, K)", got, hint)
    if values.dtype.kind not in "biuf":
        raise DataError(str(path), "real numbers", f"{values.dtype}", "Save real and imaginary parts as two channels.")
    if values.ndim == 3:
        values = values[None]
    check_shape(path, values.shape, "The array is (I, J, K), or (C, I, J, K) with channels first.")
    return values.astype(np.float32)


def _numbers(path: Path, name: str, array: NDArray[Any]) -> NDArray[np.float64]:
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise DataError(str(path), f"`{name}` as finite numbers in millimetres", f"{array.dtype} {array.shape}")
    return array.astype(np.float64)


def _grid(
    path: Path, shape: tuple[int, ...], said: dict[str, NDArray[np.float64]], notes: list[str]
) -> tuple[tuple[Axis, Axis, Axis], NDArray[np.float64]]:
    """Axes and affine, from what the file says; it may not say one thing twice."""
    uneven = said.get("slices", said.get("thickness"))
    if ("spacing" in said and "affine" in said) or ("slices" in said and "thickness" in said):
        raise DataError(str(path), "spacing or affine, slices or thickness", f"{', '.join(said)}", "Keep one of each.")
    affine = said.get("affine", np.eye(4))
    if affine.shape != (4, 4):
        raise DataError(str(path), "`affine` of 4 x 4", f"{affine.shape}")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if "spacing" in said:
        spacing = said["spacing"]
        if spacing.size not in (1, 3) or not bool((spacing > 0).all()):
            raise DataError(str(path), "`spacing` as one or three positive lengths in millimetres", f"{spacing}")
        lengths = np.broadcast_to(spacing.reshape(-1), 3)
    elif not said:
        notes.append("no spacing in the file: voxels of length 1")
    axes = [Axis.even(name, "mm", count, length) for name, count, length in zip("xyz", shape, lengths, strict=True)]
    if uneven is not None:
        if uneven.shape != (shape[2],):
            raise DataError(str(path), f"one entry for each of {shape[2]} slices on the last axis", f"{uneven.shape}")
        if "slices" in said and (len(uneven) < 2 or not bool((np.diff(uneven) > 0).all())):
            raise DataError(str(path), "`slices` as two or more rising positions", f"{uneven.tolist()[:8]}")
        if "thickness" in said and not bool((uneven > 0).all()):
            raise DataError(str(path), "`thickness` as positive lengths", f"{uneven.tolist()[:8]}")
        axes[2] = (Axis.at if "slices" in said else Axis.of)("z", "mm", uneven)
    if "affine" not in said:
        affine = np.diag([*lengths, 1.0])
        affine[2, 3] = said["slices"][0] if "slices" in said else 0.0
    if uneven is not None:
        affine = between_borders(affine, axes[2])
    return (axes[0], axes[1], axes[2]), affine
