"""What is known of a picture file after it was decoded once."""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from globalpool.data.images import read_picture
from globalpool.errors import DataError

#: Side of the thumbnail by which near copies are found, in pixels.
LOOK = 16
#: Decoders release the interpreter; each holds one whole picture in memory.
THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Facts:
    """``size``: spatial lengths (height and width); ``content``, ``look`` and ``grey`` as in ``Example``."""

    size: tuple[int, ...]
    content: str
    look: bytes = b""
    grey: bool = False


def facts_of(pixels: NDArray[np.uint8]) -> Facts:
    """Of a uint8 ``(H, W, 3)`` array."""
    content = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
    small = Image.fromarray(pixels).convert("L").resize((LOOK, LOOK), Image.Resampling.BILINEAR)
    grey = bool((pixels[..., :1] == pixels[..., 1:]).all())
    return Facts((pixels.shape[0], pixels.shape[1]), content, small.tobytes(), grey)


def picture_facts(file: Path) -> Facts:
    """Of one picture file."""
    return facts_of(read_picture(file).pixels)


def read_facts(files: Iterable[Path], facts: Callable[[Path], Facts] | None = None) -> list[Facts | DataError]:
    """Of every file in its order, or why it cannot be read; each is decoded once, several at a time.

    ``facts``: what reads one file; None: as a picture.
    """
    read = picture_facts if facts is None else facts

    def one(file: Path) -> Facts | DataError:
        try:
            return read(file)
        except DataError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, files))
