"""``inplace=True`` saves the second feature map in inference and changes nothing else."""

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import globalpool as gp
from globalpool.blocks import SqueezeExcite


def blocks() -> tuple[SqueezeExcite, SqueezeExcite]:
    """The same block, writing on its input and not."""
    torch.manual_seed(0)
    writes, keeps = SqueezeExcite(6, reduction=2, inplace=True), SqueezeExcite(6, reduction=2)
    keeps.load_state_dict(writes.state_dict())
    return writes, keeps


def test_in_inference_the_result_lies_in_the_memory_of_x() -> None:
    writes, keeps = blocks()
    for shape, layout in (
        ((2, 6, 4, 5), {}),
        ((2, 4, 5, 6), {"channel_dim": -1}),
        ((9, 6), {"ptr": torch.tensor([0, 4, 9])}),
    ):
        x = torch.randn(shape)
        before = x.clone()
        for mode in (torch.no_grad(), torch.inference_mode()):
            with mode:
                kept = keeps(x, **layout)
                assert kept.data_ptr() != x.data_ptr()
                assert torch.equal(x, before)
                mine = x.clone()
                written = writes(mine, **layout)
                assert written.data_ptr() == mine.data_ptr()
                assert written.shape == mine.shape
                assert torch.equal(written, kept)
    writes.requires_grad_(False)
    x = torch.randn(2, 6, 3)
    assert writes(x).data_ptr() == x.data_ptr()  # gradients are on, but there is nothing to record


def test_where_a_mask_asks_for_a_copy_that_copy_is_written_on() -> None:
    writes, keeps = blocks()
    x, mask = torch.randn(2, 6, 4, 5), torch.rand(2, 4, 5) > 0.4
    before = x.clone()
    with torch.no_grad():
        assert torch.equal(writes(x, mask=mask), keeps(x, mask=mask))
    assert torch.equal(x, before)


@pytest.mark.parametrize("learns", ["x", "block", "both"])
@pytest.mark.parametrize("masked", [False, True])
def test_where_autograd_records_it_never_writes(learns: str, masked: bool) -> None:
    gradients: list[list[Tensor]] = []
    mask = torch.tensor([[True, True, False], [True, False, False]]) if masked else None
    start = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1))
    for block in blocks():
        block.requires_grad_(learns != "x")
        x = start.clone().requires_grad_(learns != "block")
        y = block(x.view(2, 6, 3), mask=mask)  # through a view: a leaf may not be written on anyway
        assert torch.equal(x, start)
        leaves = [leaf for leaf in (x, *block.parameters()) if leaf.requires_grad]
        gradients.append(list(torch.autograd.grad(y.square().sum(), leaves)))
    for mine, theirs in zip(*gradients, strict=True):
        assert torch.equal(mine, theirs)


def test_gates_read_and_do_not_write() -> None:
    writes, _ = blocks()
    x = torch.randn(2, 6, 3)
    before = x.clone()
    with torch.no_grad():
        gates = writes.gates(x)
        assert torch.equal(x, before)
        assert torch.equal(writes(x), before * gates[..., None])


def test_a_function_transform_records_too() -> None:
    writes, keeps = blocks()
    writes.requires_grad_(False)
    x = torch.randn(2, 6, 3)
    before = x.clone()
    got = torch.func.grad(lambda x: writes(x).square().sum())(x)
    leaf = before.clone().requires_grad_()
    (expected,) = torch.autograd.grad(keeps(leaf).square().sum(), leaf)
    assert torch.equal(got, expected)
    assert torch.equal(x, before)


def test_the_squeeze_is_done_before_x_is_overwritten() -> None:
    """Max reads x; a gate computed late would read what is already scaled."""
    torch.manual_seed(0)
    block = SqueezeExcite(4, squeeze=gp.Max(), reduction=1, inplace=True)
    x = torch.randn(1, 4, 6)
    with torch.no_grad():
        expected = x * block.gates(x)[..., None]
        assert torch.equal(block(x), expected)


def test_forward_mode_records_too() -> None:
    block, x = SqueezeExcite(4, reduction=2, inplace=True).double(), torch.randn(2, 4, 3, 3, dtype=torch.float64)
    before, direction = x.clone(), torch.randn(2, 4, 3, 3, dtype=torch.float64)
    with torch.no_grad(), forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(block(forward_ad.make_dual(x, direction))).tangent
    assert torch.equal(x, before)
    step = 1e-6
    slope = (block(x + step * direction) - block(x - step * direction)) / (2 * step)
    torch.testing.assert_close(tangent, slope, rtol=1e-6, atol=1e-7)
