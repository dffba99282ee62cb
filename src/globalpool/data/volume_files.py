"""Files to volumes, by what they are."""

from collections.abc import Callable
from pathlib import Path

from globalpool.data.animations import read_animation
from globalpool.data.array_volumes import read_array
from globalpool.data.dicom import read_dicom
from globalpool.data.nifti import read_nifti
from globalpool.data.volume import Volume
from globalpool.errors import DataError

READERS: dict[str, Callable[[Path], Volume]] = {
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
    ".npy": read_array,
    ".npz": read_array,
    ".dcm": read_dicom,
    ".gif": read_animation,
    ".apng": read_animation,
    ".png": read_animation,
    ".webp": read_animation,
}


def volume_suffix(path: Path) -> str:
    """The lower-case suffix by which a reader is chosen: ``.nii.gz`` whole."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def read_volume(path: str | Path) -> Volume:
    """NIfTI, npy, npz, DICOM (one file of frames, or the folder of a series) or an animated picture.

    A file without a known suffix is tried as DICOM, whose files often have none. DataError says why a file cannot be
    read.
    """
    path = Path(path)
    if path.is_dir():
        return read_dicom(path)
    if not path.is_file():
        raise DataError(str(path), "a file or the folder of a DICOM series", "no such file")
    if path.stat().st_size == 0:
        raise DataError(str(path), "a volume", "an empty file (0 bytes)")
    return READERS.get(volume_suffix(path), read_dicom)(path)
