"""Files to volumes, by what they are; and which there are below some paths."""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from globalpool.data.animations import read_animation
from globalpool.data.array_volumes import read_array
from globalpool.data.dicom import read_dicom
from globalpool.data.find import Found, find_files
from globalpool.data.nifti import read_nifti
from globalpool.data.volume import Volume
from globalpool.errors import DataError
from globalpool.extras import need

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


def find_volumes(paths: Iterable[str | Path], suffixes: Collection[str]) -> Found:
    """Files with one of the suffixes; the DICOM slices that lie in one folder are one volume, the folder.

    DICOM files often have no suffix: those that begin as DICOM does are taken too. Files named by themselves stay.
    """
    given = {Path(path) for path in ((paths,) if isinstance(paths, str | Path) else paths)}
    found = find_files(given, suffixes)
    odd = {file for file in found.passed_over if not file.name.startswith(".") and _begins_as_dicom(file)}
    files: dict[Path, None] = {}
    whole: dict[Path, bool] = {}
    for file in sorted({*found.files, *odd}):
        folder = file.parent
        if file in given or not (file in odd or volume_suffix(file) == ".dcm"):
            files[file] = None
            continue
        if folder not in whole:
            whole[folder] = not _has_frames(file)
        files[folder if whole[folder] else file] = None
    return Found(tuple(files), tuple(file for file in found.passed_over if file not in odd), found.unlisted)


def _begins_as_dicom(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _has_frames(file: Path) -> bool:
    """Whether a DICOM file holds several frames; one that cannot be read does not, and says why when it is read."""
    pydicom = need("pydicom", "volumes", "find_volumes")
    try:
        return int(pydicom.dcmread(file, specific_tags=["NumberOfFrames"]).get("NumberOfFrames") or 1) > 1
    except Exception:  # told by read_volume
        return False
