"""What counts as a near copy and what does not, on real photographs."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from globalpool.data import photographs, read_picture
from globalpool.data.facts import facts_of
from globalpool.data.near import NEAR, near_copies


def images() -> list[Image.Image]:
    return [Image.fromarray(read_picture(file).pixels) for file in photographs()]


def look(image: Image.Image) -> bytes:
    return facts_of(np.asarray(image.convert("RGB"))).look


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


def scaled(image: Image.Image, width: float, height: float) -> Image.Image:
    return image.resize((round(image.width * width), round(image.height * height)), Image.Resampling.BILINEAR)


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg at quality 30": lambda image: jpeg(image, 30),
    "half the size": lambda image: scaled(image, 0.5, 0.5),
    "64 x 64 pixels": lambda image: image.resize((64, 64)),
    "twice as wide": lambda image: scaled(image, 2, 1),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "half the contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.5),
    "grey": lambda image: image.convert("L"),
}
OTHERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.rotate(180),
    "cropped": lambda image: image.crop((image.width // 4, 0, image.width, image.height)),
    "inverted": lambda image: Image.eval(image, lambda value: 255 - value),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_nothing_else(kind: str) -> None:
    originals = images()
    looks = [look(image) for image in originals] + [look(COPIES[kind](image)) for image in originals]
    assert near_copies(looks) == [(i, i + len(originals)) for i in range(len(originals))]


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_said_not_to_be_found(kind: str) -> None:
    originals = images()
    looks = [look(image) for image in originals] + [look(OTHERS[kind](image)) for image in originals]
    assert near_copies(looks) == []


def slow(looks: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Every pair in float64."""
    values = looks.astype(np.float64)
    deviation = values.std(1)
    standard = (values - values.mean(1, keepdims=True)) / np.maximum(deviation, 1e-9)[:, None]
    found = []
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            difference = standard[i] - standard[j]
            if min(deviation[i], deviation[j]) >= 2 and np.sqrt(np.square(difference).mean()) <= NEAR:
                found.append((i, j))
    return found


def test_the_search_misses_no_pair() -> None:
    random = np.random.default_rng(0)
    base = random.integers(0, 256, (25, 256))
    flat = np.full((10, 256), 90) + random.integers(0, 2, (10, 256))
    weak = 128 + (base[:5] - 128) // 12
    noise = np.concatenate([scale * random.standard_normal((25, 256)) for scale in (3, 5.8, 6, 6.2)])
    looks = np.concatenate([base, np.tile(base, (4, 1)) + noise, flat, weak, weak + 40]).clip(0, 255).astype(np.uint8)
    found = near_copies([row.tobytes() for row in looks])
    assert found == slow(looks)
    assert 50 < len(found) < 400
    assert near_copies([]) == []


def test_pictures_without_contrast_are_near_nothing() -> None:
    plain = [facts_of(np.full((20, 20, 3), value, dtype=np.uint8)).look for value in (90, 90, 91)]
    assert near_copies(plain) == []
