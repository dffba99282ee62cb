"""Files to batches."""

from globalpool.extras import need

need("PIL.Image", "images", "globalpool.data")

from globalpool.data.canvas_digits import CanvasDigits, canvas_digits  # noqa: E402
from globalpool.data.images import Picture, find_pictures, read_picture  # noqa: E402
from globalpool.data.mnist import mnist_digits  # noqa: E402
from globalpool.data.photographs import photographs  # noqa: E402
from globalpool.data.prepare import prepare  # noqa: E402

__all__ = [
    "CanvasDigits",
    "Picture",
    "canvas_digits",
    "find_pictures",
    "mnist_digits",
    "photographs",
    "prepare",
    "read_picture",
]
