"""Files of volumes for the tests, written with the libraries of their formats."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

Array = NDArray[Any]
#: Half of it carries no types.
nibabel: Any = import_module("nibabel")


def turned(angles: Sequence[float]) -> NDArray[np.float64]:
    """A rotation about z, then y, then x."""
    matrix = np.eye(3)
    for axis, angle in zip((2, 1, 0), angles, strict=True):
        one, other = (i for i in range(3) if i != axis)
        turn = np.eye(3)
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def write_nifti(path: Path, values: Array, affine: Array, unit: str = "mm") -> Path:
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def write_series(
    folder: Path,
    values: Array,
    affine: Array,
    heights: Sequence[float] | None = None,
    *,
    series: str = "1.2.3",
    **changes: Any,
) -> Path:
    """``values (columns, rows, slices)`` of whole numbers at ``affine`` (indices to RAS+), a file a slice, shuffled.

    ``heights``: indices of the slices along the third axis, where they are not 0, 1, 2, ...
    """
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    lengths = np.linalg.norm(lps[:3, :3], axis=0)
    places = range(values.shape[2]) if heights is None else heights
    names = np.random.default_rng(0).permutation(values.shape[2])
    for number, place in enumerate(places):
        data = _dataset(values[:, :, number].T, CTImageStorage, series)
        data.ImagePositionPatient = [float(v) for v in lps[:3, 3] + lps[:3, 2] * place]
        data.ImageOrientationPatient = [float(v) for v in (*(lps[:3, 0] / lengths[0]), *(lps[:3, 1] / lengths[1]))]
        data.PixelSpacing = [float(lengths[1]), float(lengths[0])]
        for name, value in changes.items():
            setattr(data, name, value)
        data.save_as(folder / f"{names[number]:03d}.dcm", enforce_file_format=True)
    return folder


def write_frames(path: Path, values: Array, affine: Array | None, slope: float = 1.0) -> Path:
    """One enhanced file of many frames; without ``affine`` frames of 40 ms that have no places."""
    data = _dataset(values.transpose(2, 1, 0), EnhancedCTImageStorage, "1.2.3")
    data.NumberOfFrames = values.shape[2]
    if affine is None:
        data.FrameTime = "40"
    else:
        lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
        lengths = np.linalg.norm(lps[:3, :3], axis=0)
        shared, measures, plane, rule = (pydicom.Dataset() for _ in range(4))
        measures.PixelSpacing = [float(lengths[1]), float(lengths[0])]
        plane.ImageOrientationPatient = [float(v) for v in (*(lps[:3, 0] / lengths[0]), *(lps[:3, 1] / lengths[1]))]
        rule.RescaleSlope, rule.RescaleIntercept, rule.RescaleType = slope, 0, "US"
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
        shared.PixelValueTransformationSequence = [rule]
        data.SharedFunctionalGroupsSequence = [shared]
        groups = []
        for number in range(values.shape[2]):
            group, place = pydicom.Dataset(), pydicom.Dataset()
            place.ImagePositionPatient = [float(v) for v in lps[:3, 3] + lps[:3, 2] * number]
            group.PlanePositionSequence = [place]
            groups.append(group)
        data.PerFrameFunctionalGroupsSequence = groups
    data.save_as(path, enforce_file_format=True)
    return path


def _dataset(pixels: Array, storage: Any, series: str) -> FileDataset:
    """Signed 16-bit ``(rows, columns)`` or ``(frames, rows, columns)``."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.Modality = series, "CT"
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.PixelData = np.ascontiguousarray(pixels.astype("<i2")).tobytes()
    return data
