"""Reading pictures: every file becomes an upright 8-bit RGB array by a stated rule, or a DataError with its reason.

The rules, in this order; each one that changed something is named in ``Picture.notes``:

- the content decides the format, not the suffix; formats outside ``FORMATS`` are refused (no interpreter, no plug-in
  that runs programs is ever started), and so are more than ``MAX_PIXELS`` pixels, before decoding;
- the first frame of an animation or of a multi-page file is taken;
- a file that ends early is refused: half a picture would be classified as a whole one;
- the EXIF orientation is applied, so that the picture stands upright;
- 16-bit grey is scaled by 1/257, so that white stays white; 32-bit integers and floating-point pixels have no stated
  range and are refused;
- transparency is laid over white; palettes, CMYK, YCbCr, Lab and grey become RGB;

Input files are opened for reading only.
"""

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from globalpool.errors import DataError

#: Formats that are read, by Pillow's names, and the suffixes by which a folder is searched.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("avif", "bmp", "gif", "jpeg", "jpg", "jpe", "jfif", "jp2", "j2k", "png", "apng"),
        *("pbm", "pgm", "ppm", "pnm", "tga", "tif", "tiff", "webp"),
    )
)
MAX_PIXELS = 89_478_485  # Pillow's own line between a picture and a decompression bomb
ORIENTATION_TAG = 0x0112
TRANSPARENT_BACKGROUND = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Picture:
    """``pixels``: uint8 ``(H, W, 3)``; ``notes``: what was done to the file's content to get there."""

    path: Path
    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """Files to read, in sorted order, and files in searched folders passed over for their suffix."""

    files: tuple[Path, ...]
    passed_over: tuple[Path, ...]


def find_pictures(paths: Iterable[str | Path]) -> Found:
    """The given files, and all files with a picture's suffix in the given folders and below, each once.

    A path that does not exist is kept: reading it gives the error its row in the report. Hidden files are passed over.
    """
    files: dict[Path, None] = {}
    passed_over: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            files[path] = None
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                known = Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
                (files if known else passed_over)[Path(folder, name)] = None
    return Found(tuple(files), tuple(path for path in passed_over if path not in files))


def read_picture(path: str | Path) -> Picture:
    """Read one picture by the rules of this module; DataError says why a file cannot be read."""
    path = Path(path)
    if not path.is_file():
        raise DataError(str(path), "a readable picture file", "a folder" if path.is_dir() else "no such file")
    if path.stat().st_size == 0:
        raise DataError(str(path), "a picture", "an empty file (0 bytes)")
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            # Pillow warns where a file is damaged but decodable, and where it is suspiciously large.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                pixels = _upright_rgb(path, image, notes)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(str(path), f"at most {MAX_PIXELS:,} pixels", "a decompression bomb or a huge scan") from error
    except UnidentifiedImageError as error:
        raise DataError(str(path), f"one of {', '.join(FORMATS)}", "content of no such format") from error
    except PermissionError as error:
        raise DataError(str(path), "a readable picture file", "no permission to read it") from error
    except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
        reason = f"{type(error).__name__}: {error}".strip().rstrip(".:")
        raise DataError(str(path), "a whole, undamaged picture", reason) from error
    return Picture(path, pixels, tuple(notes))


def _upright_rgb(path: Path, image: Image.Image, notes: list[str]) -> NDArray[np.uint8]:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(str(path), f"at most {MAX_PIXELS:,} pixels", f"{width} x {height}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"first of {frames} frames")
        image.seek(0)
    image.load()
    orientation = image.getexif().get(ORIENTATION_TAG, 1)
    if orientation in range(2, 9):
        notes.append(f"turned upright (EXIF orientation {orientation})")
        image = ImageOps.exif_transpose(image)
    image = _to_rgb(path, image, notes)
    pixels = np.array(image, dtype=np.uint8)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise DataError(str(path), "a picture of at least 1 x 1 pixels", str(pixels.shape))
    return pixels


def _to_rgb(path: Path, image: Image.Image, notes: list[str]) -> Image.Image:
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image
    if mode in ("F", "I"):
        if mode == "I" and image.format in ("PNG", "PPM"):  # Pillow widens their 16-bit grey to 32
            return _from_16_bit(image, notes)
        raise DataError(
            str(path),
            "8-bit or 16-bit pixels",
            f"mode {mode}: 32-bit pixels of no stated range",
            "Rescale it to 8 bit.",
        )
    if mode.startswith("I;16"):
        return _from_16_bit(image, notes)
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        notes.append("transparency laid over white")
        layered = image.convert("RGBA")
        background = Image.new("RGBA", layered.size, (*TRANSPARENT_BACKGROUND, 255))
        return Image.alpha_composite(background, layered).convert("RGB")
    notes.append(f"{mode} to RGB")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image, notes: list[str]) -> Image.Image:
    notes.append("16-bit grey scaled to 8 bit")
    grey = np.asarray(image).astype(np.float64)
    return Image.fromarray(np.rint(grey / 257).clip(0, 255).astype(np.uint8)).convert("RGB")
