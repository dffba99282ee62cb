"""Files to batches."""

from globalpool.extras import need

need("PIL.Image", "images", "globalpool.data")

from globalpool.data.images import Picture, find_pictures, read_picture  # noqa: E402
from globalpool.data.photographs import photographs  # noqa: E402
from globalpool.data.prepare import prepare  # noqa: E402

__all__ = ["Picture", "find_pictures", "photographs", "prepare", "read_picture"]
