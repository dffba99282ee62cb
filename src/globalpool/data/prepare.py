"""From a picture to a classifier's input."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from globalpool.classifier import InputSpec
from globalpool.data.images import Picture
from globalpool.errors import DataError

#: Largest input in pixels: activations take a few hundred bytes for each.
MAX_INPUT_PIXELS = 20_000_000


def prepare(picture: Picture, spec: InputSpec, size: int | None) -> Tensor:
    """``(1, 3, H, W)`` float32. ``size``: the whole picture, resized to ``size`` x ``size``; None: as it is.

    Nothing is cropped away. Resizing is bicubic with antialiasing, as the packaged weights were evaluated.
    """
    height, width = picture.pixels.shape[:2] if size is None else (size, size)
    if min(height, width) < 1 or height * width > MAX_INPUT_PIXELS:
        hint = "Give a smaller size, such as --size 224."
        raise DataError(str(picture.path), f"1 to {MAX_INPUT_PIXELS:,} input pixels", f"{width} x {height}", hint)
    image = Image.fromarray(picture.pixels)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (spec.mean, spec.std))
    return ((pixels - mean) / std).unsqueeze(0)
