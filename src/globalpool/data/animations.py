"""Animated pictures as volumes: time, rows, columns. What Pillow decodes; no video codec is needed."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from globalpool.data.volume import Axis, Volume, check_shape
from globalpool.errors import DataError

FORMATS = ("GIF", "PNG", "WEBP")
#: Browsers show frames of 10 ms and less, and those without a duration, this long.
DEFAULT_SECONDS, SHORTEST_SECONDS = 0.1, 0.01


def read_animation(path: Path) -> Volume:
    """A GIF, APNG or WebP of two frames or more as ``(3, time, rows, columns)``, colours from 0 to 1.

    The time axis is in seconds, a frame as long as it is shown, so frames of different durations are voxels of
    different lengths; rows and columns have length 1 (pixels). Transparency is laid over black. Other videos (MP4,
    AVI, ...) need a decoder this package does not have: save their frames as an npz, ``values (C, T, H, W)``.
    """
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                count = int(getattr(image, "n_frames", 1))
                check_shape(path, (3, count, image.height, image.width))
                if count < 2:
                    hint = "Read it as a picture."
                    raise DataError(str(path), "an animation of at least two frames", "a single frame", hint)
                frames, seconds = [], []
                for number in range(count):
                    image.seek(number)
                    clear = Image.new("RGBA", image.size, (0, 0, 0, 255))
                    frames.append(np.asarray(Image.alpha_composite(clear, image.convert("RGBA")))[..., :3])
                    seconds.append(float(image.info.get("duration", 0)) / 1000)
    except DataError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
        reason = f"{type(error).__name__}: {error}".strip().rstrip(".:")
        raise DataError(str(path), "an animated GIF, PNG or WebP that can be decoded whole", reason) from error
    short = sum(second <= SHORTEST_SECONDS for second in seconds)
    if short:
        notes.append(f"{short} frames of {SHORTEST_SECONDS:g} s or less taken as {DEFAULT_SECONDS:g} s")
    lengths = [DEFAULT_SECONDS if second <= SHORTEST_SECONDS else second for second in seconds]
    values = np.stack(frames).astype(np.float32).transpose(3, 0, 1, 2) / 255
    time = Axis.of("time", "s", lengths)
    rows, columns = (Axis.even(name, "px", values.shape[i], 1.0) for name, i in (("row", 2), ("column", 3)))
    affine = np.diag([time.spacing, 1.0, 1.0, 1.0])
    return Volume(path, np.ascontiguousarray(values), (time, rows, columns), affine, tuple(notes))
