"""A folder of 40 files that break picture readers, made by a script: ``python -m tests.data.torture FOLDER``.

``make(folder)`` writes them and returns what must become of each: its size as (width, height), or the reason.
"""

import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Expected = tuple[int, int] | str
Maker = Callable[[], bytes]

GENERATOR = np.random.default_rng(0)
NOISE = GENERATOR.integers(0, 256, (20, 30, 3), dtype=np.uint8)
#: Left half red, right half blue, upper left corner white: its orientation shows.
LANDSCAPE = np.zeros((20, 30, 3), dtype=np.uint8)
LANDSCAPE[:, :15, 0], LANDSCAPE[:, 15:, 2], LANDSCAPE[:5, :5] = 255, 255, 255


def saved(image: Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def rgb(format_: str, **options: object) -> bytes:
    return saved(Image.fromarray(LANDSCAPE), format_, **options)


def with_orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return rgb("JPEG", quality=95, exif=exif)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A valid PNG header that promises a gigantic picture."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0x5A for byte in data[middle : middle + 40]) + data[middle + 40 :]


def mode(name: str) -> Image.Image:
    return Image.fromarray(LANDSCAPE).convert(name)


def translucent() -> Image.Image:
    image = Image.fromarray(LANDSCAPE).convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 30).astype(np.uint8), (20, 1))))
    return image


def grey16() -> Image.Image:
    return Image.fromarray((np.arange(600).reshape(20, 30) * 109).astype(np.uint16))


def animation(format_: str) -> bytes:
    frames = [Image.fromarray(LANDSCAPE), Image.fromarray(NOISE), Image.fromarray(255 - LANDSCAPE)]
    return saved(frames[0], format_, save_all=True, append_images=frames[1:])


FILES: dict[str, tuple[Maker, Expected]] = {
    # read as they are
    "plain.jpg": (lambda: rgb("JPEG"), (30, 20)),
    "plain.png": (lambda: rgb("PNG"), (30, 20)),
    "plain.webp": (lambda: rgb("WEBP"), (30, 20)),
    "plain.bmp": (lambda: rgb("BMP"), (30, 20)),
    "plain.tif": (lambda: rgb("TIFF"), (30, 20)),
    "plain.ppm": (lambda: rgb("PPM"), (30, 20)),
    "progressive.jpg": (lambda: rgb("JPEG", progressive=True), (30, 20)),
    "UPPER CASE and spaces.JPG": (lambda: rgb("JPEG"), (30, 20)),
    "<script>alert(1)&amp;.png": (lambda: rgb("PNG"), (30, 20)),
    "ünïcödé 猫.png": (lambda: rgb("PNG"), (30, 20)),
    "one-pixel.png": (lambda: saved(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG"), (1, 1)),
    "thin.png": (lambda: saved(Image.new("RGB", (400, 1)), "PNG"), (400, 1)),
    # read by a rule
    "grey.png": (lambda: saved(mode("L"), "PNG"), (30, 20)),
    "bilevel.png": (lambda: saved(mode("1"), "PNG"), (30, 20)),
    "grey16.png": (lambda: saved(grey16(), "PNG"), (30, 20)),
    "grey16.tif": (lambda: saved(grey16(), "TIFF"), (30, 20)),
    "cmyk.jpg": (lambda: saved(mode("CMYK"), "JPEG"), (30, 20)),
    "cmyk.tif": (lambda: saved(mode("CMYK"), "TIFF"), (30, 20)),
    "lab.tif": (lambda: saved(mode("LAB"), "TIFF"), (30, 20)),
    "alpha.png": (lambda: saved(translucent(), "PNG"), (30, 20)),
    "grey-alpha.png": (lambda: saved(translucent().convert("LA"), "PNG"), (30, 20)),
    "palette.png": (lambda: saved(mode("P"), "PNG"), (30, 20)),
    "palette-transparent.png": (lambda: saved(mode("P"), "PNG", transparency=0), (30, 20)),
    "palette.gif": (lambda: saved(mode("P"), "GIF"), (30, 20)),
    "animated.gif": (lambda: animation("GIF"), (30, 20)),
    "animated.png": (lambda: animation("PNG"), (30, 20)),
    "animated.webp": (lambda: animation("WEBP"), (30, 20)),
    "pages.tif": (lambda: animation("TIFF"), (30, 20)),
    "rotated-3.jpg": (lambda: with_orientation(3), (30, 20)),
    "rotated-6.jpg": (lambda: with_orientation(6), (20, 30)),
    "mirrored-5.jpg": (lambda: with_orientation(5), (20, 30)),
    "really-a-png.jpg": (lambda: rgb("PNG"), (30, 20)),
    # refused, with the reason
    "empty.jpg": (lambda: b"", "an empty file (0 bytes)"),
    "text.png": (lambda: b"this is no picture\n" * 50, "content of no such format"),
    "truncated.jpg": (lambda: saved(Image.fromarray(NOISE).resize((200, 200)), "JPEG")[:3000], "OSError"),
    "truncated.png": (lambda: saved(Image.fromarray(NOISE).resize((200, 200)), "PNG")[:3000], "OSError"),
    "damaged.png": (lambda: damaged(saved(Image.fromarray(NOISE), "PNG")), "OSError"),
    "float.tif": (lambda: saved(mode("F"), "TIFF"), "mode F: 32-bit pixels of no stated range"),
    "bomb.png": (lambda: bomb(60_000, 60_000), "a decompression bomb or a huge scan"),
    "postscript.png": (lambda: rgb("EPS"), "content of no such format"),
}


def make(folder: Path) -> dict[Path, Expected]:
    """Write the 40 files; returns what is expected of each."""
    assert len(FILES) == 40
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, (maker, outcome) in FILES.items():
        path = folder / name
        path.write_bytes(maker())
        expected[path] = outcome
    return expected


if __name__ == "__main__":
    make(Path(sys.argv[1]))
