"""DICOM: a folder with the slices of one series, or one file of many frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.data.dicom_places import Slice, frame_slices, own_slice, stacked
from globalpool.data.orientation import canonical
from globalpool.data.volume import Axis, Volume, check_shape, check_values
from globalpool.errors import DataError
from globalpool.extras import need


def read_dicom(path: Path) -> Volume:
    """One series as a volume in RAS+ and millimetres, with rescale slope and intercept applied.

    ``path``: a folder, every file of which that is DICOM belongs to the series, or one file of several frames. Slices
    are sorted by ImagePositionPatient along their normal; gaps between them may differ, and each slice then reaches
    halfway to its neighbours. Frames without positions (ultrasound, angiography) are time, by FrameTime.

    DataError for several series in one folder, slices of other sizes, spacings or directions, two at one place, ones
    that do not lie on one line, and compressed pixels that no installed decoder reads.
    """
    notes: list[str] = []
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    datasets = [(file, data) for file in files if (data := _opened(file, must=len(files) == 1)) is not None]
    other = len(files) - len(datasets)
    if other:
        notes.append(f"{other} files beside the series that are no DICOM pictures")
    if not datasets:
        raise DataError(str(path), "a folder with DICOM slices", f"none among {len(files)} files")
    _one_series(path, [data for _, data in datasets])
    frames = int(getattr(datasets[0][1], "NumberOfFrames", 1))
    if len(datasets) == 1 and frames > 1:
        return _multi_frame(path, datasets[0][1], frames, notes)
    if any(int(getattr(data, "NumberOfFrames", 1)) > 1 for _, data in datasets):
        hint = "Give such a file by itself."
        raise DataError(str(path), "slices, one a file", "a file of several frames among others", hint)
    if len(datasets) < 2:
        raise DataError(str(path), "a series of at least two slices", "one slice", "Give the folder of its series.")
    rows, columns = int(datasets[0][1].Rows), int(datasets[0][1].Columns)
    check_shape(path, (int(getattr(datasets[0][1], "SamplesPerPixel", 1)), len(datasets), rows, columns))
    slices = [own_slice(file, data) for file, data in datasets]
    values = [_pixels(file, data) for file, data in datasets]
    return _volume(path, slices, values, notes)


def _opened(file: Path, must: bool) -> Any | None:
    """The dataset of a DICOM picture; None for other files in a folder."""
    pydicom = need("pydicom", "volumes", "read_volume")
    try:
        data = pydicom.dcmread(file)
    except Exception as error:  # a damaged file may stumble anywhere in the parser
        if not must and isinstance(error, pydicom.errors.InvalidDicomError) and file.suffix.lower() != ".dcm":
            return None
        reason = f"{type(error).__name__}: {error}".strip().rstrip(".:")
        raise DataError(str(file), "a DICOM file that can be read whole", reason) from error
    if "PixelData" in data:
        return data
    if must or file.suffix.lower() == ".dcm":
        raise DataError(str(file), "a DICOM picture", "a DICOM file without pixels")
    return None


def _one_series(path: Path, datasets: Sequence[Any]) -> None:
    series: dict[str, int] = {}
    for data in datasets:
        name = str(getattr(data, "SeriesDescription", "") or getattr(data, "SeriesInstanceUID", "without a number"))
        key = f"{getattr(data, 'SeriesInstanceUID', '')} {name}"
        series[key] = series.get(key, 0) + 1
    if len(series) > 1:
        got = "; ".join(f"{key.split(' ', 1)[1]} ({count} slices)" for key, count in list(series.items())[:4])
        raise DataError(str(path), "slices of one series", f"{len(series)}: {got}", "Give each a folder of its own.")


def _pixels(file: Path, data: Any) -> NDArray[np.float32]:
    """``(F, rows, columns, C)`` of F frames, values as the modality means them."""
    pixels = need("pydicom.pixels", "volumes", "read_volume")
    try:
        array = np.asarray(pixels.apply_modality_lut(data.pixel_array, data))
    except Exception as error:  # no decoder, a damaged stream, a missing attribute: all told by their own text
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0].rstrip(".:")
        hint = "Save it uncompressed, or install a decoder for pydicom such as pylibjpeg."
        raise DataError(str(file), "pixels that can be decoded", reason, hint) from error
    samples, frames = int(getattr(data, "SamplesPerPixel", 1)), int(getattr(data, "NumberOfFrames", 1))
    return array.astype(np.float32).reshape(frames, int(data.Rows), int(data.Columns), samples)


def _multi_frame(path: Path, data: Any, frames: int, notes: list[str]) -> Volume:
    check_shape(path, (int(getattr(data, "SamplesPerPixel", 1)), frames, int(data.Rows), int(data.Columns)))
    values = _pixels(path, data)
    slices = frame_slices(path, data, frames)
    if slices is not None:
        scaled = [
            part * slope + intercept for part, (slope, intercept) in zip(values, _scales(data, frames), strict=True)
        ]
        return _volume(path, slices, scaled, notes)
    seconds = np.asarray(getattr(data, "FrameTimeVector", []), dtype=np.float64)[1:] / 1000
    if len(seconds) == frames - 1 and bool((seconds > 0).all()):
        time = Axis.of("time", "s", [*seconds, seconds[-1]])
    else:
        step = float(getattr(data, "FrameTime", 0) or 0) / 1000
        if step <= 0:
            notes.append("frames with neither positions nor times: 1 s each")
        time = Axis.even("time", "s", frames, step if step > 0 else 1.0)
    notes.append("frames without positions are time")
    stack = np.moveaxis(values, -1, 0)
    check_values(path, stack, notes)
    rows, columns = (Axis.even(name, "px", stack.shape[i], 1.0) for name, i in (("row", 2), ("column", 3)))
    affine = np.diag([time.spacing, 1.0, 1.0, 1.0])
    return Volume(path, np.ascontiguousarray(stack), (time, rows, columns), affine, tuple(notes))


def _scales(data: Any, frames: int) -> list[tuple[float, float]]:
    """Slope and intercept of every frame, where functional groups hold them; those of the file are applied already."""
    shared = getattr(data, "SharedFunctionalGroupsSequence", [None])[0]
    each = getattr(data, "PerFrameFunctionalGroupsSequence", [None] * frames)
    found = []
    for group in each:
        owner = next((g for g in (group, shared) if g is not None and "PixelValueTransformationSequence" in g), None)
        rule = None if owner is None else owner.PixelValueTransformationSequence[0]
        found.append((1.0, 0.0) if rule is None else (float(rule.RescaleSlope), float(rule.RescaleIntercept)))
    return found


def _volume(path: Path, slices: Sequence[Slice], values: Sequence[NDArray[np.float32]], notes: list[str]) -> Volume:
    """Slices in the order of their places: columns, rows and slices become the three axes, turned to RAS+."""
    order, axes, affine = stacked(path, slices, values[0].shape[-2], values[0].shape[-3], notes)
    shapes = {part.shape[-3:] for part in values}
    if len(shapes) > 1:
        got = ", ".join(" x ".join(map(str, shape[:2])) for shape in sorted(shapes))
        raise DataError(str(path), "slices of one size", got, "Give each size a folder of its own.")
    stack = np.stack([values[number].reshape(values[number].shape[-3:]) for number in order])
    stack = np.ascontiguousarray(
        stack.transpose(3, 2, 1, 0)
    )  # slices, rows, columns, colours -> C, columns, rows, slices
    check_values(path, stack, notes)
    return canonical(Volume(path, stack, axes, affine, tuple(notes)))
