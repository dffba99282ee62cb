"""Reading pictures: every file becomes an upright 8-bit RGB array by a stated rule, or a DataError with its reason.

The rules, in this order; each one that changed something is named in ``Picture.notes``:

- the content decides the format, not the suffix; formats outside ``FORMATS`` are refused (no interpreter, no plug-in
  that runs programs is ever started), and so are more than ``MAX_PIXELS`` pixels, before decoding;
- a file that ends early or is damaged is refused, as far as its decoder can tell: half a picture would be classified
  as a whole one;
- the first frame of an animation or of a multi-page file is taken;
- the EXIF orientation is applied, so that the picture stands upright;
- 16-bit grey is scaled by its bit depth, so that white stays white, and colours of 16 bit are reduced to 8; signed,
  32-bit and floating-point pixels have no stated range and are refused;
- transparency is laid over white; palettes, CMYK, YCbCr, Lab and grey become RGB;

Colour profiles are not applied: numbers are taken as sRGB. Input files are opened for reading only.
"""

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from globalpool.data.find import Found, find_files, holds
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
ORIENTATION_TAG, BITS_TAG, PHOTOMETRIC_TAG, SAMPLE_FORMAT_TAG = 0x0112, 258, 262, 339
WHITE_IS_ZERO, SIGNED = 0, 2
TRANSPARENT_BACKGROUND = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Picture:
    """``pixels``: uint8 ``(H, W, 3)``; ``notes``: what was done to the file's content to get there."""

    path: Path
    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def find_pictures(paths: str | Path | Iterable[str | Path]) -> Found:
    """``find_files`` with a picture's suffix."""
    return find_files(paths, SUFFIXES)


def read_picture(path: str | Path) -> Picture:
    """Read one picture by the rules of this module; DataError says why a file cannot be read."""
    path = Path(path)
    if not holds(path.is_file):
        got = "a folder" if holds(path.is_dir) else "no such file"
        got = "no regular file" if got == "no such file" and os.path.lexists(path) else got
        raise DataError(str(path), "a readable picture file", got)
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
        raise DataError(str(path), "a picture that can be decoded whole", reason) from error
    return Picture(path, pixels, tuple(notes))


def _upright_rgb(path: Path, image: Image.Image, notes: list[str]) -> NDArray[np.uint8]:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(str(path), f"at most {MAX_PIXELS:,} pixels", f"{width} x {height}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"first of {frames} frames")
        image.seek(0)
    orientation = image.getexif().get(ORIENTATION_TAG, 1)
    deep = image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile) for tile in getattr(image, "tile", ()))
    tags = {tag: _tag(image, tag) for tag in (BITS_TAG, PHOTOMETRIC_TAG, SAMPLE_FORMAT_TAG)}
    if tags[SAMPLE_FORMAT_TAG] == SIGNED:
        raise DataError(str(path), "unsigned pixels", "signed ones", "Rescale it to unsigned 8 bit.")
    image.load()
    if orientation in range(2, 9):
        notes.append(f"turned upright (EXIF orientation {orientation})")
        image = ImageOps.exif_transpose(image)
    if deep:
        notes.append("16-bit colour reduced to 8 bit")
    depth = tags[BITS_TAG] if tags[BITS_TAG] in range(9, 16) else 16
    image = _to_rgb(path, image, notes, int(depth), tags[PHOTOMETRIC_TAG] == WHITE_IS_ZERO)
    pixels = np.array(image, dtype=np.uint8)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise DataError(str(path), "a picture of at least 1 x 1 pixels", str(pixels.shape))
    return pixels


def _tag(image: Image.Image, tag: int) -> int:
    """The first number of a TIFF tag; -1 without one."""
    value = getattr(image, "tag_v2", {}).get(tag, -1)
    return int(value[0] if isinstance(value, tuple) else value)


def _to_rgb(path: Path, image: Image.Image, notes: list[str], depth: int, inverted: bool) -> Image.Image:
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image
    if mode in ("F", "I"):
        if mode == "I" and image.format in ("PNG", "PPM"):  # Pillow widens their 16-bit grey to 32
            return _from_deep_grey(image, notes, depth, inverted)
        raise DataError(
            str(path),
            "8-bit or 16-bit pixels",
            f"mode {mode}: 32-bit pixels of no stated range",
            "Rescale it to 8 bit.",
        )
    if mode.startswith("I;16"):
        return _from_deep_grey(image, notes, depth, inverted)
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        notes.append("transparency laid over white")
        layered = image.convert("RGBA")
        background = Image.new("RGBA", layered.size, (*TRANSPARENT_BACKGROUND, 255))
        return Image.alpha_composite(background, layered).convert("RGB")
    notes.append(f"{mode} to RGB")
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image, notes: list[str], depth: int, inverted: bool) -> Image.Image:
    notes.append(f"{depth}-bit grey scaled to 8 bit" + (", white is zero" if inverted else ""))
    grey = np.rint(np.asarray(image).astype(np.float32) * (255 / (2**depth - 1))).clip(0, 255).astype(np.uint8)
    return Image.fromarray(255 - grey if inverted else grey).convert("RGB")
