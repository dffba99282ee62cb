"""Volumes from files: every value stays at its physical point, whatever the format, order and direction."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from globalpool.data.volume import Volume
from globalpool.data.volume_files import find_volumes, read_volume
from globalpool.errors import DataError
from tests.data.volume_makers import turned, write_frames, write_nifti, write_series

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.integers(-500, 1500, (4, 5, 6))


def grid(angles: tuple[float, float, float], lengths: tuple[float, float, float], flip: tuple[int, ...]) -> Any:
    """An affine: turned, flipped, at lengths, away from the origin."""
    affine = np.eye(4)
    affine[:3, :3] = turned(angles) @ np.diag(np.multiply(lengths, flip))
    affine[:3, 3] = [-20.5, 31.0, 7.25]
    return affine


GRIDS = {
    "upright": grid((0, 0, 0), (1, 2, 3), (1, 1, 1)),
    "flipped": grid((0, 0, 0), (1, 2, 3), (-1, -1, 1)),
    "oblique": grid((0.3, -0.2, 0.25), (0.7, 0.8, 2.5), (1, -1, 1)),
    "another order": grid((np.pi / 2, 0.1, np.pi / 2), (0.7, 1.1, 2.5), (1, 1, -1)),
}


def at_points(affine: NDArray[np.float64], values: NDArray[Any], heights: Any = None) -> dict[tuple[float, ...], float]:
    """The value at every point of a grid, point by point; points rounded to 0.001 mm."""
    found = {}
    for i, j, k in np.ndindex(*values.shape):
        height = k if heights is None else heights[k]
        point = affine @ [i, j, height, 1]
        found[tuple(round(float(v), 3) + 0.0 for v in point[:3])] = float(values[i, j, k])
    return found


def points_of(volume: Volume) -> dict[tuple[float, ...], float]:
    indices = np.argwhere(np.ones(volume.shape)).astype(np.float64)
    rows = zip(volume.points(indices), volume.values[0].reshape(-1), strict=True)
    return {tuple(round(float(v), 3) + 0.0 for v in point): float(value) for point, value in rows}


@pytest.mark.parametrize("name", GRIDS)
def test_a_nifti_keeps_every_value_at_its_point_and_runs_to_ras(name: str, tmp_path: Path) -> None:
    volume = read_volume(write_nifti(tmp_path / "scan.nii.gz", VALUES.astype(np.int16), GRIDS[name]))
    assert points_of(volume) == at_points(GRIDS[name], VALUES)
    assert nibabel.aff2axcodes(volume.affine) == ("R", "A", "S")
    assert [axis.spacing for axis in volume.axes] == pytest.approx(np.linalg.norm(volume.affine[:3, :3], axis=0))
    assert volume.measure() == pytest.approx(abs(np.linalg.det(GRIDS[name])))


@pytest.mark.parametrize("name", GRIDS)
def test_the_same_scan_as_dicom_is_the_same_volume(name: str, tmp_path: Path) -> None:
    nifti = read_volume(write_nifti(tmp_path / "scan.nii", VALUES.astype(np.int16), GRIDS[name]))
    series = read_volume(write_series(tmp_path / "series", VALUES, GRIDS[name]))
    frames = read_volume(write_frames(tmp_path / "frames.dcm", VALUES, GRIDS[name]))
    for other in (series, frames):
        assert np.array_equal(other.values, nifti.values)
        assert other.affine == pytest.approx(nifti.affine, abs=1e-5)


@pytest.mark.parametrize("name", GRIDS)
def test_uneven_slices_stay_where_they_are(name: str, tmp_path: Path) -> None:
    heights = [0, 1, 2, 3.5, 5, 9]
    volume = read_volume(write_series(tmp_path, VALUES, GRIDS[name], heights))
    assert points_of(volume) == at_points(GRIDS[name], VALUES, heights)
    (uneven,) = (axis for axis in volume.axes if not axis.is_even)
    third = float(np.linalg.norm(GRIDS[name][:3, 2]))
    lengths = uneven.lengths / third
    assert sorted(lengths) == pytest.approx([1, 1, 1.25, 1.5, 2.75, 4])
    assert "slices" in volume.notes[0]
    assert "apart" in volume.notes[0]


def test_rescaling_is_applied(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", VALUES, GRIDS["upright"], RescaleSlope=2, RescaleIntercept=-1024)
    assert sorted(read_volume(series).values.ravel()) == sorted((2 * VALUES - 1024).ravel())
    frames = write_frames(tmp_path / "frames.dcm", VALUES, GRIDS["upright"], slope=0.5)
    assert sorted(read_volume(frames).values.ravel()) == sorted((VALUES / 2).ravel())
    image = nibabel.Nifti1Image(VALUES.astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    nibabel.save(image, tmp_path / "scaled.nii")
    assert np.array_equal(
        read_volume(tmp_path / "scaled.nii").values[0], nibabel.load(tmp_path / "scaled.nii").get_fdata()
    )


def test_channels_are_what_lies_beyond_the_three_axes(tmp_path: Path) -> None:
    values = RANDOM.standard_normal((3, 4, 5, 2)).astype(np.float32)
    path = write_nifti(tmp_path / "time.nii", values, np.eye(4))
    assert np.array_equal(read_volume(path).values, values.transpose(3, 0, 1, 2))
    field = write_nifti(tmp_path / "field.nii", values[:, :, :, None], np.eye(4))
    assert np.array_equal(read_volume(field).values, values.transpose(3, 0, 1, 2))
    colours = np.zeros((3, 4, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["G"] = 7
    rgb = read_volume(write_nifti(tmp_path / "rgb.nii", colours, np.eye(4)))
    assert rgb.values.reshape(3, -1).max(1).tolist() == [0, 7, 0]


def test_units_become_millimetres(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "small.nii", VALUES.astype(np.int16), np.diag([100, 200, 50, 1.0]), "micron")
    assert read_volume(path).spacing == pytest.approx((0.1, 0.2, 0.05))


def test_npz_says_where_its_voxels_lie(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    np.savez(file, values=VALUES, spacing=[1, 2, 3])
    assert read_volume(file).spacing == (1, 2, 3)
    np.savez(file, values=VALUES, slices=[2.0, 3, 4, 5.5, 7, 11], spacing=1.0)
    volume = read_volume(file)
    assert volume.points(np.array([[0, 0, 0], [1, 2, 4], [0, 0, 5]])) == pytest.approx(
        np.array([[0, 0, 2], [1, 2, 7], [0, 0, 11.0]])
    )
    np.savez(file, values=VALUES, thickness=[1.0, 1, 2, 1, 1, 4])
    assert read_volume(file).axes[2].lengths.tolist() == [1, 1, 2, 1, 1, 4]
    np.savez(file, values=VALUES, affine=GRIDS["oblique"])
    assert points_of(read_volume(file)) == at_points(GRIDS["oblique"], VALUES)
    np.savez(file, values=VALUES, affine=GRIDS["another order"], slices=[0, 2.5, 5, 9, 10, 11])
    heights = np.array([0, 2.5, 5, 9, 10, 11]) / 2.5
    assert points_of(read_volume(file)) == at_points(GRIDS["another order"], VALUES, heights)


def test_a_flow_field_is_its_components_as_channels(tmp_path: Path) -> None:
    u, v, w = RANDOM.standard_normal((3, 4, 5, 6))
    np.savez(tmp_path / "flow.npz", u=u, v=v, w=w, spacing=0.5)
    assert np.array_equal(read_volume(tmp_path / "flow.npz").values, np.stack([u, v, w]).astype(np.float32))
    np.save(tmp_path / "flow.npy", np.stack([u, v, w]))
    volume = read_volume(tmp_path / "flow.npy")
    assert len(volume.values) == 3
    assert volume.notes == ("no spacing in the file: voxels of length 1",)


@pytest.mark.parametrize(("suffix", "extra"), [("gif", {}), ("apng", {"format": "PNG"}), ("webp", {"lossless": True})])
def test_an_animation_is_time_rows_and_columns_and_frames_last_as_shown(
    suffix: str, extra: dict[str, Any], tmp_path: Path
) -> None:
    shades = [10, 200, 90, 250]
    frames = [Image.new("RGB", (7, 5), (shade, shade, shade)) for shade in shades]
    frames[1].putpixel((6, 0), (255, 255, 255))
    file = tmp_path / f"film.{suffix}"
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=[100, 300, 50, 150], **extra)
    volume = read_volume(file)
    assert volume.values.shape == (3, 4, 5, 7)
    assert volume.values[0, :, 2, 2] * 255 == pytest.approx(shades, abs=0.5)
    assert volume.values[0, 1, 0, 6] == 1
    assert volume.axes[0].lengths == pytest.approx([0.1, 0.3, 0.05, 0.15])
    assert [(axis.name, axis.unit) for axis in volume.axes] == [("time", "s"), ("row", "px"), ("column", "px")]


def test_frames_of_dicom_without_places_are_time(tmp_path: Path) -> None:
    volume = read_volume(write_frames(tmp_path / "film.dcm", VALUES, None))
    assert np.array_equal(volume.values[0], VALUES.transpose(2, 1, 0))
    assert volume.axes[0].lengths == pytest.approx([0.04] * 6)


def test_slices_in_one_folder_are_one_volume(tmp_path: Path) -> None:
    write_series(tmp_path / "a" / "scan", VALUES, GRIDS["upright"])
    write_series(tmp_path / "a" / "bare", VALUES, GRIDS["upright"])
    for file in (tmp_path / "a" / "bare").iterdir():
        file.rename(file.with_suffix(""))
    (tmp_path / "a" / "bare" / "LIESMICH").write_text("notes")
    for name in ("f1.dcm", "f2.dcm"):
        write_frames(tmp_path / "a" / name, VALUES, GRIDS["upright"])
    np.save(tmp_path / "a" / "b.npy", VALUES)
    found = find_volumes([tmp_path / "a"], {".dcm", ".npy"})
    assert [str(file.relative_to(tmp_path / "a")) for file in found.files] == [
        "b.npy",
        "bare",
        "f1.dcm",
        "f2.dcm",
        "scan",
    ]
    assert [file.name for file in found.passed_over] == ["LIESMICH"]
    bare = read_volume(tmp_path / "a" / "bare")
    assert np.array_equal(bare.values, read_volume(tmp_path / "a" / "scan").values)
    assert "1 files beside the series" in bare.notes[0]


def two_series(folder: Path) -> Path:
    write_series(folder, VALUES, GRIDS["upright"])
    write_series(folder / "other", VALUES, GRIDS["upright"], series="1.2.4", SeriesDescription="LUNG 3.0")
    for file in list((folder / "other").iterdir()):
        file.rename(folder / f"other{file.name}")
    (folder / "other").rmdir()
    return folder


def twice(folder: Path) -> Path:
    return write_series(folder, VALUES, GRIDS["upright"], [0, 1, 2, 2, 3, 4])


def localizer(folder: Path) -> Path:
    write_series(folder, VALUES, GRIDS["upright"])
    write_series(folder / "other", VALUES[:, :, :1], GRIDS["another order"])
    (folder / "other" / "000.dcm").rename(folder / "localizer.dcm")
    (folder / "other").rmdir()
    return folder


def bare_slice(folder: Path) -> Path:
    return write_series(folder, VALUES, GRIDS["upright"], ImagePositionPatient=None)


def single(folder: Path) -> Path:
    return write_series(folder, VALUES[:, :, :1], GRIDS["upright"])


def cut_short(folder: Path) -> Path:
    folder.mkdir()
    file = write_nifti(folder / "scan.nii.gz", RANDOM.integers(0, 999, (20, 20, 20)).astype(np.int16), np.eye(4))
    file.write_bytes(file.read_bytes()[:-4000])
    return file


def nifti_of(values: NDArray[Any], affine: Any = None) -> Any:
    return lambda folder: write_nifti(folder.with_suffix(".nii"), values, np.eye(4) if affine is None else affine)


def npz_of(**arrays: Any) -> Any:
    def make(folder: Path) -> Path:
        np.savez(folder.with_suffix(".npz"), **arrays)
        return folder.with_suffix(".npz")

    return make


def still(folder: Path) -> Path:
    Image.new("RGB", (4, 4)).save(folder.with_suffix(".gif"))
    return folder.with_suffix(".gif")


def text(folder: Path) -> Path:
    folder.with_suffix(".dcm").write_text("no pictures here")
    return folder.with_suffix(".dcm")


HOLE = np.full((3, 3, 3), np.nan)
FLAT = np.diag([1.0, 1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (two_series, r"slices of one series; got 2: .*\(6 slices\); LUNG 3.0 \(6 slices\)\. Give each a folder"),
        (twice, r"one slice at each place; got 2 slices at places taken already\. Give each time point"),
        (localizer, r"slices in one direction; got slices in different directions\. Leave out localizers"),
        (bare_slice, r"a slice with its place; got no ImagePositionPatient"),
        (single, r"a series of at least two slices; got one slice"),
        (text, r"a DICOM file that can be read whole; got InvalidDicomError"),
        (cut_short, r"a NIfTI file that can be read whole; got EOFError"),
        (nifti_of(np.zeros((4, 4))), r"three axes of space and one of channels or time; got 4 x 4\."),
        (nifti_of(np.zeros((4, 4, 4, 2, 3))), r"one of channels or time; got 4 x 4 x 4 x 2 x 3"),
        (nifti_of(np.zeros((4, 4, 4), np.complex64)), r"real values; got complex ones"),
        (nifti_of(HOLE), r"values; got none at any voxel"),
        (nifti_of(np.full((3, 3, 3), np.inf)), r"finite values; got 27 infinite ones"),
        (npz_of(values=HOLE, spacing=[1, 0, 1]), r"got none at any voxel"),
        (npz_of(values=VALUES, spacing=[1, 0, 1]), r"`spacing` as one or three positive lengths"),
        (npz_of(values=VALUES, affine=FLAT), r"an invertible affine of 4 x 4"),
        (npz_of(values=VALUES, slices=[1, 2, 3]), r"one entry for each of 6 slices on the last axis; got \(3,\)"),
        (npz_of(values=VALUES, slices=[1, 2, 3, 3, 4, 5]), r"`slices` as two or more rising positions"),
        (npz_of(values=VALUES, spacing=1, affine=np.eye(4)), r"spacing or affine, slices or thickness"),
        (npz_of(a=VALUES, b=VALUES[0]), r"one array of values, or channels of one shape"),
        (npz_of(values=np.array([None])), r"a NumPy file \(.npy or .npz\) that can be read whole; got ValueError"),
        (npz_of(values=np.zeros((2, 2))), r"three axes; got 2 x 2\. The array is"),
        (still, r"an animation of at least two frames; got a single frame\. Read it as a picture"),
        (lambda folder: folder, r"a file or the folder of a DICOM series; got no such file"),
    ],
)
def test_what_is_no_volume_is_refused_with_its_reason(make: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=sentence):
        read_volume(make(tmp_path / "volume"))
