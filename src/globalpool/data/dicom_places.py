"""Where DICOM slices lie: sorted along their normal, even or not, or refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.data.orientation import LPS_TO_RAS
from globalpool.data.volume import Axis, between_borders
from globalpool.errors import DataError

#: Cosines of one direction agree to this; slices on one line lie within this many millimetres of it.
SAME_DIRECTION, ON_THE_LINE = 1e-3, 0.1
#: Slices closer than this, in millimetres, are at one place.
SAME_PLACE = 1e-3


@dataclass(frozen=True, eq=False)
class Slice:
    """``position``: centre of the first pixel, in DICOM's LPS+ millimetres; ``along_row`` and ``along_column``: unit
    vectors of rising column and row numbers; ``row_step``, ``column_step``: millimetres between rows, between columns.
    """  # noqa: D205

    position: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    row_step: float
    column_step: float


def own_slice(file: Path, data: Any) -> Slice:
    """Of a file with one slice."""
    missing = [
        name
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
        if getattr(data, name, None) in (None, "", [])
    ]
    if missing:
        hint = "Slices without a place cannot be put in order; leave out screenshots and reports."
        raise DataError(str(file), "a slice with its place", f"no {', '.join(missing)}", hint)
    return _slice(data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing)


def frame_slices(path: Path, data: Any, frames: int) -> list[Slice] | None:
    """Of a file of several frames, by functional groups or grid offsets; None where frames have no places."""
    if "PerFrameFunctionalGroupsSequence" in data:
        each = data.PerFrameFunctionalGroupsSequence
        shared = data.SharedFunctionalGroupsSequence[0] if "SharedFunctionalGroupsSequence" in data else None
        if not any("PlanePositionSequence" in group for group in each):
            return None
        found = []
        for number, group in enumerate(each):
            facts: dict[str, Any] = {}
            for sequence, name in (
                ("PlanePositionSequence", "ImagePositionPatient"),
                ("PlaneOrientationSequence", "ImageOrientationPatient"),
                ("PixelMeasuresSequence", "PixelSpacing"),
            ):
                owner = next((one for one in (group, shared) if one is not None and sequence in one), None)
                if owner is None or name not in owner[sequence][0]:
                    raise DataError(str(path), f"{name} for every frame", f"none for frame {number + 1} of {frames}")
                facts[name] = owner[sequence][0][name].value
            found.append(_slice(*facts.values()))
        return found
    offsets = getattr(data, "GridFrameOffsetVector", None)
    if offsets is None or len(offsets) != frames:
        return None
    first = own_slice(path, data)
    normal = np.cross(first.along_row, first.along_column)
    steps = np.asarray(offsets, dtype=np.float64) - float(offsets[0])
    return [
        Slice(first.position + step * normal, first.along_row, first.along_column, first.row_step, first.column_step)
        for step in steps
    ]


def stacked(
    path: Path, slices: Sequence[Slice], columns: int, rows: int, notes: list[str]
) -> tuple[list[int], tuple[Axis, Axis, Axis], NDArray[np.float64]]:
    """Order of the slices along their normal, axes (columns, rows, slices), and affine to RAS+ millimetres."""
    first = slices[0]
    for other in slices[1:]:
        turned = max(
            np.abs(other.along_row - first.along_row).max(), np.abs(other.along_column - first.along_column).max()
        )
        if turned > SAME_DIRECTION:
            hint = "Leave out localizers, or give each direction a folder of its own."
            raise DataError(str(path), "slices in one direction", "slices in different directions", hint)
        if not np.allclose([other.row_step, other.column_step], [first.row_step, first.column_step], rtol=1e-3):
            raise DataError(str(path), "slices of one PixelSpacing", "different ones", "Give each its own folder.")
    normal = np.cross(first.along_row, first.along_column)
    positions = np.stack([one.position for one in slices])
    heights = positions @ normal
    order = [int(number) for number in np.argsort(heights, kind="stable")]
    positions, gaps = positions[order], np.diff(heights[order])
    if bool((gaps < SAME_PLACE).any()):
        got = f"{int((gaps < SAME_PLACE).sum()) + 1} slices at places taken already"
        hint = "Give each time point or contrast a folder of its own."
        raise DataError(str(path), "one slice at each place", got, hint)
    whole = positions[-1] - positions[0]
    # A tilted gantry shifts every slice sideways by the same share of its height.
    line = positions[0] + np.outer((heights[order] - heights[order[0]]) / (whole @ normal), whole)
    off = float(np.linalg.norm(positions - line, axis=1).max())
    if off > ON_THE_LINE:
        hint = "Give each stack of slices a folder of its own."
        raise DataError(str(path), "slices one behind the other", f"one {off:.1f} mm off their line", hint)
    slant = float(np.linalg.norm(whole) / (whole @ normal))
    z = Axis.at("z", "mm", np.concatenate([[0.0], np.cumsum(gaps)]) * slant)
    if not z.is_even:
        notes.append(f"slices {gaps.min():g} to {gaps.max():g} mm apart")
    affine = np.eye(4)
    affine[:3, 0] = first.along_row * first.column_step
    affine[:3, 1] = first.along_column * first.row_step
    affine[:3, 2] = whole / np.linalg.norm(whole) * z.spacing
    affine[:3, 3] = positions[0]
    x, y = Axis.even("x", "mm", columns, first.column_step), Axis.even("y", "mm", rows, first.row_step)
    return order, (x, y, z), LPS_TO_RAS @ between_borders(affine, z)


def _slice(position: Any, orientation: Any, spacing: Any) -> Slice:
    cosines = np.asarray(orientation, dtype=np.float64)
    return Slice(np.asarray(position, dtype=np.float64), cosines[:3], cosines[3:], float(spacing[0]), float(spacing[1]))
