"""Upsampling keeps every sum, stays on real pixels, and puts evidence where it belongs."""

import itertools
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from globalpool import pools
from globalpool.errors import EvidenceError, LayoutError
from globalpool.evidence import Evidence
from globalpool.head import PooledHead


def evidence_on(*spatial: int, samples: int = 2, **arguments: Tensor) -> Evidence:
    torch.manual_seed(0)
    head = PooledHead(pools.Mean(), 3, 4).double()
    return head.evidence(torch.randn(samples, 3, *spatial, dtype=torch.float64), "all", **arguments).detach()  # type: ignore[arg-type]


def sums(maps: Tensor | list[Tensor], axes: int) -> Tensor:
    return torch.stack([m.flatten(-axes).sum(-1) for m in maps])


SIZES = [
    ((7,), (33,)),
    ((7, 5), (224, 224)),
    ((7, 5), (100, 41)),
    ((4, 6), (2, 3)),
    ((4, 6), (9, 5)),
    ((3, 4, 5), (7, 8, 2)),
]


@pytest.mark.parametrize(("spatial", "size"), SIZES)
def test_the_sum_survives_growing_and_shrinking(spatial: tuple[int, ...], size: tuple[int, ...]) -> None:
    evidence = evidence_on(*spatial)
    big = evidence.upsample(size)
    assert isinstance(big, Tensor)
    assert big.shape == (2, 4, *size)
    assert_close(sums(big, len(size)) + evidence.offset, evidence.logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(14, 18), (23, 31), (5, 6), (30, 4)])
def test_padded_samples_keep_their_sum_and_nothing_leaks_into_padding(size: tuple[int, int]) -> None:
    extents = torch.tensor([[7, 9], [3, 4], [1, 9], [0, 0]])
    evidence = evidence_on(7, 9, samples=4, sizes=extents)
    big = evidence.upsample(size)
    assert isinstance(big, Tensor)
    assert_close(sums(big, 2) + evidence.offset, evidence.logits, rtol=0, atol=1e-12)
    for sample, (high, wide) in enumerate(extents.tolist()):
        rows, columns = round(high * size[0] / 7 + 1e-9), round(wide * size[1] / 9 + 1e-9)
        rows, columns = max(rows, int(high > 0)), max(columns, int(wide > 0))
        assert big[sample, :, rows:].abs().max() == 0 if rows < size[0] else True
        assert big[sample, :, :, columns:].abs().max() == 0 if columns < size[1] else True


def test_holes_in_a_mask_stay_empty() -> None:
    mask = torch.tensor([[[1, 1, 0], [1, 0, 1], [1, 1, 1]]]).bool().expand(2, 3, 3)
    evidence = evidence_on(3, 3, mask=mask)
    big = evidence.upsample(12)
    assert isinstance(big, Tensor)
    assert_close(sums(big, 2) + evidence.offset, evidence.logits, rtol=0, atol=1e-12)
    pixels = mask.repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert (big[~pixels.unsqueeze(1).expand_as(big)] == 0).all()


def test_own_pixel_sizes_and_alone_equals_padded() -> None:
    extents, pixels = torch.tensor([[4, 3], [2, 5]]), torch.tensor([[50, 37], [31, 60]])
    evidence = evidence_on(4, 5, sizes=extents)
    big = evidence.upsample((50, 60), sizes=pixels)
    assert isinstance(big, Tensor)
    torch.manual_seed(0)
    head, x = PooledHead(pools.Mean(), 3, 4).double(), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    for sample in range(2):
        high, wide = extents[sample].tolist()
        alone = head.evidence(x[sample : sample + 1, :, :high, :wide], "all").detach()
        own = alone.upsample(pixels[sample].tolist())
        assert isinstance(own, Tensor)
        tall, broad = pixels[sample].tolist()
        assert_close(big[sample, :, :tall, :broad], own[0], rtol=0, atol=1e-13)
        assert big[sample, :, tall:].abs().sum() + big[sample, :, :, broad:].abs().sum() == 0


def slow_upsample(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Each cell hands its value to pixels in proportion to the bilinear weight it has there; both axes grow."""
    height, width = values.shape
    out = torch.zeros(size, dtype=torch.float64)
    for i, j in itertools.product(range(height), range(width)):
        share = torch.zeros(size, dtype=torch.float64)
        for u, v in itertools.product(range(size[0]), range(size[1])):
            y = min(max((u + 0.5) * height / size[0] - 0.5, 0), height - 1)
            x = min(max((v + 0.5) * width / size[1] - 0.5, 0), width - 1)
            share[u, v] = max(0, 1 - abs(y - i)) * max(0, 1 - abs(x - j))
        out += values[i, j] * share / share.sum()
    return out


def test_against_a_slow_spread() -> None:
    evidence = evidence_on(3, 4)
    big = evidence.upsample((10, 9))
    assert isinstance(big, Tensor)
    for sample, k in itertools.product(range(2), range(4)):
        assert_close(big[sample, k], slow_upsample(evidence.maps[sample, k], (10, 9)), rtol=0, atol=1e-13)


def test_shrinking_shares_by_area() -> None:
    evidence = evidence_on(4, samples=1)
    small = evidence.upsample(3)
    assert isinstance(small, Tensor)
    a = evidence.maps[0]
    # Pixels of 4/3 cells: the first takes cell 0 and a third of cell 1.
    expected = torch.stack([a[:, 0] + a[:, 1] / 3, a[:, 1] * 2 / 3 + a[:, 2] * 2 / 3, a[:, 2] / 3 + a[:, 3]], 1)
    assert_close(small[0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("cell", [(0, 0), (1, 2), (2, 3)])
def test_an_impulse_peaks_over_its_own_cell(cell: tuple[int, int]) -> None:
    evidence = evidence_on(3, 4)
    evidence.maps.zero_()
    evidence.maps[0, 0][cell] = 1
    big = evidence.upsample((96, 128))
    assert isinstance(big, Tensor)
    row, column = divmod(int(big[0, 0].argmax()), 128)
    assert abs(row + 0.5 - (cell[0] + 0.5) * 32) <= 16
    assert abs(column + 0.5 - (cell[1] + 0.5) * 32) <= 16
    assert (big >= 0).all(), "linear spreading does not overshoot"


def test_flips_and_transposition_commute_with_upsampling() -> None:
    evidence = evidence_on(3, 4)
    big = evidence.upsample((10, 13))
    flipped = evidence_on(3, 4)
    flipped.maps.copy_(evidence.maps.flip(3))
    mirrored = flipped.upsample((10, 13))
    assert isinstance(big, Tensor)
    assert isinstance(mirrored, Tensor)
    assert_close(mirrored, big.flip(3), rtol=0, atol=1e-14)
    turned = evidence_on(4, 3)
    turned.maps.copy_(evidence.maps.mT)
    assert_close(turned.upsample((13, 10)), big.mT, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("mode", "spatial", "size"),
    [("linear", (5,), (17,)), ("bilinear", (3, 4), (10, 9)), ("trilinear", (2, 3, 4), (5, 9, 4))],
)
def test_interpolate_is_torchs(mode: str, spatial: tuple[int, ...], size: tuple[int, ...]) -> None:
    evidence = evidence_on(*spatial)
    expected = torch.nn.functional.interpolate(evidence.maps, size, mode=mode, align_corners=False)
    assert_close(evidence.interpolate(size), expected, rtol=0, atol=1e-13)


def test_ragged_grids_give_a_list() -> None:
    torch.manual_seed(0)
    shapes, ptr = torch.tensor([[2, 3], [4, 1]]), torch.tensor([0, 6, 10])
    head, rows = PooledHead(pools.Max(), 3, 4).double(), torch.randn(10, 3, dtype=torch.float64)
    evidence = head.evidence(rows, "all", ptr=ptr, shapes=shapes).detach()
    for maps in (evidence.upsample((20, 30)), evidence.upsample(1, sizes=torch.tensor([[20, 30], [9, 7]]))):
        assert isinstance(maps, list)
        assert_close(sums(maps, 2) + evidence.offset, evidence.logits, rtol=0, atol=1e-12)
    assert maps[1].shape == (4, 9, 7)
    dense = head.evidence(rows[:6].T.reshape(1, 3, 2, 3), "all").detach().upsample((20, 30))
    assert_close(evidence.upsample((20, 30))[0], dense[0], rtol=0, atol=1e-13)
    with pytest.raises(LayoutError, match=r"Evidence.upsample: expected a ragged batch that carries the geometry"):
        head.evidence(rows, "all", ptr=ptr).upsample(8)


def test_a_long_recording_needs_no_matrix_of_cells_and_samples() -> None:
    """3,000 frames over 480,000 samples: a dense matrix would hold 1.4e9 numbers."""
    evidence = evidence_on(3000, samples=2, lengths=torch.tensor([3000, 1700]))
    big = evidence.upsample(480_000)
    assert isinstance(big, Tensor)
    assert_close(sums(big, 1) + evidence.offset, evidence.logits, rtol=0, atol=1e-11)
    assert (big[1, :, 272_000:] == 0).all()
    small = evidence.upsample(7)
    assert_close(sums(small, 1) + evidence.offset, evidence.logits, rtol=0, atol=1e-11)


def test_sizes_that_cannot_be() -> None:
    evidence = evidence_on(3, 4)
    with pytest.raises(EvidenceError, match=re.escape("expected a positive whole size for each of 2 axes; got (5,).")):
        evidence.upsample((5,))
    wrong: list[Any] = [8.0, "88", True, (5, 0), (3.5, 4)]
    for size in wrong:
        with pytest.raises(EvidenceError, match=r"expected a positive whole size for each of 2 axes; got"):
            evidence.upsample(size)
    right: list[Any] = [np.int64(8), torch.tensor([8, 8]), [8, 8]]
    for size in right:
        assert torch.equal(torch.as_tensor(evidence.upsample(size)), torch.as_tensor(evidence.upsample(8)))
    with pytest.raises(
        EvidenceError, match=re.escape("expected `sizes` from 1 to the canvas (5, 5); got [[6, 5], [5, 5]].")
    ):
        evidence.upsample(5, sizes=torch.tensor([[6, 5], [5, 5]]))
