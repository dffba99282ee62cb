"""Shift: exact invariance, the border bound, rewired operations against modules, planted failures."""

from typing import Literal

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, pad

from globalpool.audits.rewired import CircularBorders, LowPass
from globalpool.audits.shift import SHIFT
from globalpool.audits.stride import reach
from globalpool.models import convnet
from globalpool.pools import Grid
from tests.audits.samples import convolution, head, noise, samples

ONE = torch.tensor([[1.0]])
BOX = torch.full((3, 3), 1 / 9)


def test_borders_that_go_round_are_circular_padding() -> None:
    x = noise(2, 3, 8, 8)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 5, stride=2, padding=(2, 1), dilation=1)]
    for layer, (rows, columns) in zip(layers, ((1, 1), (2, 1)), strict=True):
        with torch.no_grad(), CircularBorders() as borders:
            found = layer(x)
        assert borders.padded == 1
        wide = pad(x, (columns, columns, rows, rows), "circular")
        assert torch.allclose(found, conv2d(wide, layer.weight, layer.bias, layer.stride), atol=1e-6)
    with torch.no_grad(), CircularBorders():
        assert torch.equal(pad(x, (0, 1, 2, 0)), pad(pad(x, (0, 1, 0, 0), "circular"), (0, 0, 2, 0), "circular"))
        whole = nn.functional.max_pool2d(x, 3, 2, 1)
    wide = pad(x, (1, 1, 1, 1), "circular")
    assert torch.equal(whole, nn.functional.max_pool2d(wide, 3, 2))
    volume = noise(1, 2, 4, 4, 4)
    solid = nn.Conv3d(2, 2, 3, padding=1, padding_mode="circular")
    expected = solid(volume)
    solid.padding_mode = "zeros"
    with torch.no_grad(), CircularBorders():
        assert torch.allclose(solid(volume), expected, atol=1e-6)


def test_a_low_pass_before_the_stride_is_a_filter_between_convolution_and_subsampling() -> None:
    x = noise(2, 3, 17, 17)
    layer = nn.Conv2d(3, 4, 3, stride=2, bias=False)
    with torch.no_grad(), LowPass() as blur:
        found = layer(x)
        nn.functional.max_pool2d(x, 2)
        nn.Conv2d(3, 3, 3)(x)
    assert blur.blurred == 2
    filtered = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    dense = conv2d(x, layer.weight)
    after = conv2d(dense, filtered.expand(4, 1, 3, 3), groups=4)[:, :, 1::2, 1::2]
    assert torch.allclose(found[:, :, 1:-1, 1:-1], after[:, :, : found.shape[2] - 2, : found.shape[3] - 2], atol=1e-5)


def test_strides_and_fields_are_those_of_the_layers() -> None:
    classifier = convnet(widths=(4, 4, 4)).eval()
    found = reach(classifier, noise(1, 3, 64, 64))
    assert found.stride == (4, 4)
    assert found.whole
    own = 1 + 2 * 1 + 2 * 1 + 2 * 2  # three 3 x 3 convolutions, the last two with stride 2
    assert own <= found.diameter[0] <= own + 2 * 4
    assert not reach(classifier, noise(1, 3, 62, 64)).whole


def test_a_network_of_circular_borders_is_invariant_to_whole_strides_and_a_smooth_one_passes() -> None:
    trunk = nn.Sequential(convolution(BOX, padding=1, mode="circular"), nn.ReLU(), convolution(BOX, padding=1))
    classifier = head(trunk, 3)
    found = SHIFT(classifier, samples(noise(6, 3, 32, 32) + 2 * noise(6, 3, 1, 1)))
    assert found.verdict == "pass"
    known = found.table
    for name in ("map, going round", "input, whole strides, borders that go round"):
        assert known.number(name, "predicted") == 0
        assert known.number(name, "change of the logits") == pytest.approx(0, abs=1e-5)
    assert known.number("input, whole strides", "change of the logits") > 1e-4  # the second layer pads with zeros
    bounds = found.tables[1]
    field, bound, largest = (bounds.number(1, name) for name in bounds.columns[1:])
    assert bound == pytest.approx((1 + field) / 32)
    assert 0 < largest <= bound


def test_subsampling_what_lies_between_its_grid_points_is_caught() -> None:
    """Stripes two pixels wide: what a stride of four picks changes with every shift."""
    stripes = torch.zeros(4, 3, 16, 16)
    stripes[:, 0, :, 0::4] = stripes[:, 1, :, 1::4] = 1
    stripes[:, 2] = 0.1
    found = SHIFT(head(convolution(ONE, stride=4), 3, seed=3), samples(stripes + 0.01 * noise(4, 3, 16, 16)))
    assert found.verdict == "fail"
    assert found.measured is not None
    assert found.measured < 0.9


def test_a_pool_that_reads_position_is_not_predicted_invariant_and_a_tail_behind_a_mean_is() -> None:
    table = SHIFT(head(nn.Identity(), 3, pool=Grid(2, 2)), samples(noise(4, 3, 8, 8))).table
    assert table.where("shift", "map, going round").column("predicted") == (None,)
    assert table.number("map, going round", "change of the logits") > 1e-3


def test_a_volume_and_a_signal_are_shifted_along_all_their_axes() -> None:
    axes: tuple[Literal[1, 3], ...] = (1, 3)
    for dims in axes:
        inputs = noise(4, 3, *([16] * dims))
        found = SHIFT(convnet(dims=dims, widths=(4, 8), num_classes=3), samples(inputs))
        assert found.verdict in ("pass", "fail"), found.advice
        assert found.table.number("input, whole strides, borders that go round", "change of the logits") < 1e-5
