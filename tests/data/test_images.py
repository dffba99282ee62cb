"""40 files that break picture readers: each is read by a stated rule or refused with its reason."""

import hashlib
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from globalpool.classifier import InputSpec
from globalpool.data import find_pictures, photographs, prepare, read_picture
from globalpool.errors import DataError
from tests.data import torture


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_every_file_is_read_by_rule_or_refused_with_its_reason(tmp_path: Path) -> None:
    expected = torture.make(tmp_path)
    before = digests(tmp_path)
    for path, outcome in expected.items():
        if isinstance(outcome, str):
            with pytest.raises(DataError, match=re.escape(str(path)) + ".*" + re.escape(outcome)):
                read_picture(path)
        else:
            picture = read_picture(path)
            assert picture.pixels.shape == (outcome[1], outcome[0], 3), path.name
            assert picture.pixels.dtype == np.uint8
    assert digests(tmp_path) == before, "an input file was changed"


def read(folder: Path, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    torture.make(folder)
    picture = read_picture(folder / name)
    return picture.pixels.astype(int), picture.notes


@pytest.mark.parametrize("name", ["plain.png", "plain.bmp", "plain.tif", "plain.ppm", "really-a-png.jpg"])
def test_lossless_pictures_are_bit_exact(tmp_path: Path, name: str) -> None:
    pixels, notes = read(tmp_path, name)
    assert (pixels == torture.LANDSCAPE).all()
    assert notes == ()


@pytest.mark.parametrize("name", ["animated.gif", "animated.png", "animated.webp", "pages.tif"])
def test_the_first_frame_counts(tmp_path: Path, name: str) -> None:
    pixels, notes = read(tmp_path, name)
    assert np.abs(pixels - torture.LANDSCAPE).mean() < 12
    assert notes[0] == "first of 3 frames"


@pytest.mark.parametrize(
    ("name", "corner"), [("rotated-3.jpg", (-3, -3)), ("rotated-6.jpg", (3, -3)), ("mirrored-5.jpg", (3, 3))]
)
def test_exif_orientation_turns_the_picture(tmp_path: Path, name: str, corner: tuple[int, int]) -> None:
    pixels, notes = read(tmp_path, name)
    assert (pixels[corner] > 180).all(), "the white corner must be here"
    assert notes == (f"turned upright (EXIF orientation {re.findall('[0-9]', name)[0]})",)


@pytest.mark.parametrize("name", ["grey16.png", "grey16.tif"])
def test_16_bit_grey_keeps_its_range(tmp_path: Path, name: str) -> None:
    pixels, notes = read(tmp_path, name)
    exact = np.arange(600).reshape(20, 30) * 109 / 257
    assert np.abs(pixels - exact[..., None]).max() <= 0.5
    assert notes == ("16-bit grey scaled to 8 bit",)


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    pixels, notes = read(tmp_path, "alpha.png")
    assert (pixels[:, 0] == 255).all(), "fully transparent is white"
    assert (pixels[:, -1] == torture.LANDSCAPE[:, -1]).all(), "fully opaque is itself"
    assert notes == ("transparency laid over white",)
    assert "transparency laid over white" in read(tmp_path, "palette-transparent.png")[1]


def test_cmyk_keeps_its_colours(tmp_path: Path) -> None:
    for name in ("cmyk.jpg", "cmyk.tif"):
        pixels, notes = read(tmp_path, name)
        assert np.abs(pixels - torture.LANDSCAPE).mean() < 12
        assert notes == ("CMYK to RGB",)


def test_a_missing_file_a_folder_and_a_forbidden_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a readable picture file; got no such file"):
        read_picture(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match="expected a readable picture file; got a folder"):
        read_picture(tmp_path)


def test_a_forbidden_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.png"
    Image.fromarray(torture.LANDSCAPE).save(path)

    def forbidden(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", forbidden)
    with pytest.raises(DataError, match="expected a readable picture file; got no permission to read it"):
        read_picture(path)


def test_paths_the_system_refuses_are_rows_not_crashes(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300 + ".png")
    assert find_pictures([long]).files == (long,)
    with pytest.raises(DataError, match="got no such file"):
        read_picture(long)
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="got no regular file"):
        read_picture(pipe)
    with pytest.raises(DataError, match=r"expected paths of files or folders; got an empty one. Write \."):
        find_pictures([""])


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(b"")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert [path.name for path in find_pictures(str(tmp_path)).files] == ["a.png"]


def tiff(pixels: bytes, width: int, height: int, **tags: int) -> bytes:
    """A minimal little-endian TIFF of one strip; tags by number."""
    entries = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 0, 277: 1, 278: height, 279: len(pixels)}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    entries[273] = 8 + 2 + 12 * len(entries) + 4
    body = struct.pack("<H", len(entries))
    for tag, value in sorted(entries.items()):
        body += struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value)
    return b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", 0) + pixels


def test_deep_tiffs_keep_white_white(tmp_path: Path) -> None:
    values = np.array([[0, 20_000, 65_535]], dtype="<u2")
    for name, photometric, expected in (("black", 1, [0, 78, 255]), ("white", 0, [255, 177, 0])):
        path = tmp_path / f"{name}.tif"
        path.write_bytes(tiff(values.tobytes(), 3, 1, t262=photometric))
        picture = read_picture(path)
        assert picture.pixels[0, :, 0].tolist() == expected
        assert picture.notes == ("16-bit grey scaled to 8 bit" + (", white is zero" if photometric == 0 else ""),)
    path = tmp_path / "signed.tif"
    path.write_bytes(tiff(values.tobytes(), 3, 1, t339=2))
    with pytest.raises(DataError, match=r"(unsigned pixels; got signed ones|content of no such format)"):
        read_picture(path)


def test_folders_are_searched_in_order_and_nothing_is_lost(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpg", "a.webp", "notes.txt", ".hidden.png", ".cache/x.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    found = find_pictures([tmp_path, tmp_path / "b" / "1.jpg", tmp_path / "missing.png", tmp_path / "notes.txt"])
    names = [str(path.relative_to(tmp_path)) for path in found.files]
    assert names == ["a.webp", "b/1.jpg", "b/2.PNG", "missing.png", "notes.txt"]
    assert [path.name for path in found.passed_over] == [".hidden.png"]


def test_prepare_shows_the_whole_picture_and_refuses_giants(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    Image.fromarray(torture.LANDSCAPE).save(path)
    picture, spec = read_picture(path), InputSpec(224, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0))
    native = prepare(picture, spec, None)
    assert native.shape == (1, 3, 20, 30)
    assert native[0, :, 0, 0].tolist() == [1.0, 0.75, 0.5]
    assert native[0, :, 10, 20].tolist() == [-1.0, -0.25, 0.5]
    assert prepare(picture, spec, 64).shape == (1, 3, 64, 64)
    path = tmp_path / "big.png"
    Image.new("L", (5001, 4000)).save(path)
    with pytest.raises(DataError, match=r"expected 1 to 20,000,000 input pixels; got 5001 x 4000. Give a smaller"):
        prepare(read_picture(path), spec, None)


def test_resizing_averages_what_it_leaves_out(tmp_path: Path) -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    path = tmp_path / "board.png"
    Image.fromarray(board).save(path)
    x = prepare(read_picture(path), InputSpec(16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), 16)
    assert (x - 0.5).abs().max() < 0.02


def test_photographs_are_there() -> None:
    assert {path.name for path in photographs()} >= {"chelsea.png", "coffee.png"}
