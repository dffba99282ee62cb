"""Canvases made while training: warps against a loop, and what each batch depends on."""

import math

import numpy as np
import pytest
import torch

from globalpool.data import CanvasBatches, Warp, mnist_digits
from globalpool.data.mnist import split_sources
from globalpool.errors import DataError

STILL = Warp(turn=0, shear=0, shrink=1, bend=0)


def slow_warp(
    picture: torch.Tensor, box: list[int], turn: float, shear: float, across: float, down: float
) -> np.ndarray:
    """Every pixel by itself in float64: sheared, turned, stretched away from the middle of the box, then bilinear."""
    height, width = picture.shape
    middle_x, middle_y = box[0] + box[2] / 2, box[1] + box[3] / 2
    result = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5 - middle_x, row + 0.5 - middle_y
            x += shear * y
            x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
            x, y = middle_x + across * x - 0.5, middle_y + down * y - 0.5
            left, top = math.floor(x), math.floor(y)
            for r, c in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                if 0 <= r < height and 0 <= c < width:
                    result[row, column] += (1 - abs(y - r)) * (1 - abs(x - c)) * float(picture[r, c])
    return result


def test_warp_is_the_loop() -> None:
    x = torch.rand(3, 1, 11, 17, generator=torch.Generator().manual_seed(3))
    boxes = torch.tensor([[2, 1, 6, 8], [9, 0, 7, 5], [0, 4, 3, 6]])
    warp = Warp(turn=40, shear=0.4, shrink=0.6, bend=0)
    random = torch.Generator().manual_seed(5)
    turns, shears, across, down = torch.rand(4, 3, generator=random).double()
    found = warp(x, boxes, torch.Generator().manual_seed(5))
    for i in range(3):
        angle, shear = math.radians(80 * float(turns[i]) - 40), 0.8 * float(shears[i]) - 0.4
        stretch = (1 / (0.6 + 0.4 * float(side[i])) for side in (across, down))
        expected = slow_warp(x[i, 0], boxes[i].tolist(), angle, shear, *stretch)
        assert np.abs(found[i, 0].numpy() - expected).max() < 1e-4


def test_no_warp_changes_nothing_and_bending_leaves_no_picture_as_it_was() -> None:
    x = torch.rand(2, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[2, 1, 12, 16], [9, 0, 7, 15]])
    assert torch.allclose(STILL(x, boxes, torch.Generator()), x, atol=1e-5)
    bent = Warp(turn=0, shear=0, shrink=1, bend=0.1)(x, boxes, torch.Generator().manual_seed(1))
    assert ((bent - x).abs().amax((1, 2, 3)) > 0.05).all()


def test_batches_depend_on_seed_epoch_and_step_alone() -> None:
    def made(seed: int, epoch: int) -> list[torch.Tensor]:
        batches = CanvasBatches((48, 64), 4, 5, seed=seed, warp=Warp())
        batches.set_epoch(epoch)
        return [batch.parts[0] for batch in batches]

    first = made(0, 1)
    torch.rand(3)
    assert all(torch.equal(a, b) for a, b in zip(first, made(0, 1), strict=True))
    for other in (made(0, 2), made(1, 1)):
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert sorted(part.shape[-1] for part in first) == [48, 48, 64, 64]


def test_batches_show_only_the_digits_allowed_and_say_which() -> None:
    own = split_sources("train")
    batches = CanvasBatches((48,), 3, 20, sources=own[:300])
    for batch in batches:
        assert len(batch) == 20
        assert set(batch.indices.tolist()) <= set(own[:300].tolist())
        assert batch.targets.tolist() == mnist_digits()[1][batch.indices.numpy()].tolist()


def test_panoramas_are_four_times_as_wide() -> None:
    batch = next(iter(CanvasBatches((48,), 1, 3, shape="panorama")))
    assert batch.parts[0].shape == (3, 1, 48, 192)


def test_pairs_mix_aspect_ratios_one_a_batch() -> None:
    batches = CanvasBatches((48, (24, 96), (24, 96), (64, 32)), 4, 3, seed=1, warp=Warp())
    assert sorted(tuple(batch.parts[0].shape[2:]) for batch in batches) == [(24, 96), (24, 96), (48, 48), (64, 32)]


def test_requests_that_cannot_be_met_end_with_a_sentence() -> None:
    for arguments, message in (
        ({"updates": 0}, "expected `updates` as 1 or more; got 0."),
        ({"batch_size": 5000}, "expected `batch_size` as 1 to 4000, the digits; got 5000."),
        ({"sources": split_sources("test")}, "expected `sources` as rows of the training digits"),
        ({"sizes": (20,)}, "expected `sizes` of at least 24 px; got 20."),
    ):
        given = {"sizes": (48,), "updates": 1, "batch_size": 4} | arguments
        with pytest.raises(DataError, match=message.replace("(", r"\(")):
            CanvasBatches(**given)  # type: ignore[arg-type]
