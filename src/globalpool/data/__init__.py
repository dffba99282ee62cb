"""Files to batches."""

from globalpool.data.images import Picture, find_pictures, read_picture
from globalpool.data.photographs import photographs
from globalpool.data.prepare import prepare

__all__ = ["Picture", "find_pictures", "photographs", "prepare", "read_picture"]
