"""Pictures written for tests: smooth random landscapes, each seed another."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def landscape(seed: int, size: tuple[int, int] = (32, 40), *, grey: bool = False) -> NDArray[np.uint8]:
    """uint8 ``(height, width, 3)``: a few random colours blended smoothly."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (5, 5, 1 if grey else 3)).astype(np.uint8)
    image = Image.fromarray(np.repeat(small, 3, axis=2) if grey else small)
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def save(path: Path, seed: int, size: tuple[int, int] = (32, 40), *, grey: bool = False) -> Path:
    """A picture in a file whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(landscape(seed, size, grey=grey)).save(path)
    return path


def folder_of(root: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 6, first: int = 0) -> Path:
    """``count`` pictures a class, all different."""
    for number, name in enumerate(classes):
        for i in range(count):
            save(root / name / f"{i}.png", first + 1000 * number + i)
    return root
