"""Where a batch takes its pictures from: files, or arrays in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalpool.data.examples import Examples, class_targets
from globalpool.data.images import Picture, read_picture
from globalpool.errors import DataError


class Source(Protocol):
    """Pictures by number: their ``sizes`` (height, width) are known before any is read.

    ``targets``: class ids ``(N,)`` int64, or ``(N, K)`` float32 of zeros and ones for several labels.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def sizes(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def targets(self) -> Tensor: ...
    def picture(self, index: int) -> Picture: ...


class FileSource:
    """The pictures of ``examples``, read when they are asked for."""

    def __init__(self, examples: Examples) -> None:
        self.classes = examples.classes
        self.files = tuple(example.path for example in examples.examples)
        self.sizes = tuple((example.size[0], example.size[1]) for example in examples.examples)
        self.targets = class_targets(examples)

    def picture(self, index: int) -> Picture:
        """Picture ``index``; DataError where its file went away or changed its format since."""
        return read_picture(self.files[index])


class ArraySource:
    """Pictures in memory: uint8 ``(H, W, 3)`` or grey ``(H, W)``, any sizes; ``labels (N,)``: class ids."""

    def __init__(
        self, pictures: Sequence[NDArray[np.uint8]], labels: Any, classes: Sequence[str] | None = None
    ) -> None:
        self.pictures, self.targets = tuple(pictures), torch.as_tensor(np.asarray(labels)).long()
        for number, pixels in enumerate(self.pictures):
            if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
                got = f"{pixels.dtype} {pixels.shape} at {number}"
                raise DataError("ArraySource", "pictures as uint8 (H, W) or (H, W, 3)", got)
        if self.targets.shape != (len(self.pictures),):
            got = f"labels {tuple(self.targets.shape)}"
            raise DataError("ArraySource", f"a class id for each of {len(self.pictures)} pictures", got)
        count = int(self.targets.max()) + 1 if len(self.pictures) else 0
        self.classes = tuple(map(str, range(count))) if classes is None else tuple(classes)
        if len(self.pictures) and (int(self.targets.min()) < 0 or count > len(self.classes)):
            got = f"{int(self.targets.min())} to {count - 1}"
            raise DataError("ArraySource", f"class ids from 0 to {len(self.classes) - 1}", got)
        self.sizes = tuple((pixels.shape[0], pixels.shape[1]) for pixels in self.pictures)

    def picture(self, index: int) -> Picture:
        """Picture ``index`` with three channels."""
        pixels = self.pictures[index]
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        return Picture(Path(f"picture {index}"), pixels)
