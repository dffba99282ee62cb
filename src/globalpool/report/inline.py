"""Figures and pictures as data URIs, so that a page is one file."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Dots an inch of figures; longer side of thumbnails in pixels.
DPI, THUMBNAIL = 110, 96


def inline_figure(figure: "Figure") -> str:
    """A PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return _uri("png", file.getvalue())


def inline_picture(pixels: NDArray[np.uint8]) -> str:
    """A thumbnail; small pictures are enlarged by whole factors, so that their pixels stay visible."""
    image = Image.fromarray(pixels)
    factor = THUMBNAIL // max(image.size)
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "PNG")
    return _uri("png", file.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
