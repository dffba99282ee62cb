"""From a picture to a classifier's input."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from globalpool.classifier import InputSpec
from globalpool.data.images import Picture
from globalpool.errors import DataError

#: Largest input in pixels: activations take a few hundred bytes for each.
MAX_INPUT_PIXELS = 20_000_000


def prepare(picture: Picture, spec: InputSpec, size: int | tuple[int, int] | None) -> Tensor:
    """``(1, C, H, W)`` float32. ``size``: the whole picture, resized to that side, or height and width; None: as it is.

    Nothing is cropped away. Resizing is bicubic with antialiasing, as the packaged weights were evaluated. ``C`` is the
    spec's: 3 colours, or 1 for grey (ITU-R 601).
    """
    return normalized(resized(picture, size), spec).unsqueeze(0)


def resized(picture: Picture, size: int | tuple[int, int] | None) -> NDArray[np.uint8]:
    """The whole picture, uint8 ``(H, W, 3)``, at ``size`` as for ``prepare``."""
    side = size if size is not None else (picture.pixels.shape[0], picture.pixels.shape[1])
    height, width = (side, side) if isinstance(side, int) else side
    if min(height, width) < 1 or height * width > MAX_INPUT_PIXELS:
        hint = "Give a smaller size, such as --size 224."
        raise DataError(str(picture.path), f"1 to {MAX_INPUT_PIXELS:,} input pixels", f"{width} x {height}", hint)
    if picture.pixels.shape[:2] == (height, width):
        return picture.pixels
    return np.asarray(Image.fromarray(picture.pixels).resize((width, height), Image.Resampling.BICUBIC))


def normalized(pixels: NDArray[np.uint8], spec: InputSpec) -> Tensor:
    """``(C, H, W)`` float32 of uint8 ``(H, W, 3)``: scaled to [0, 1], then ``(pixel - mean) / std``."""
    if len(spec.mean) == 1:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    scaled = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (spec.mean, spec.std))
    return (scaled - mean) / std
