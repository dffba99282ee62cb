"""Position leak: a trunk that computes position from its zero padding is read, and its circular twin is not."""

import pytest
import torch
from torch import Tensor, nn

from globalpool.audits.position_leak import POSITION_LEAK
from globalpool.models import convnet
from tests.audits.samples import head, noise, samples

SIDE = 16


class Ramp(nn.Module):
    """Channels plus, from a kernel as wide as the picture that is a ramp, mass times distance from the middle.

    ``sum_q (q - p) x(q)`` summed over all p of a picture is ``mass * N * (centre of mass - middle)``: with zeros beyond
    the border the average is position itself; going round, the ramp's sum decides, which is constant.
    """

    def __init__(self) -> None:
        super().__init__()
        ramp = torch.arange(-SIDE + 1, SIDE).float() / SIDE
        self.rows = nn.Conv2d(1, 1, (2 * SIDE - 1, 1), padding=(SIDE - 1, 0), bias=False)
        self.columns = nn.Conv2d(1, 1, (1, 2 * SIDE - 1), padding=(0, SIDE - 1), bias=False)
        with torch.no_grad():
            self.rows.weight.copy_(ramp.reshape(1, 1, -1, 1))
            self.columns.weight.copy_(ramp.reshape(1, 1, 1, -1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.rows(x), self.columns(x)], 1)


def test_position_read_from_zero_padding_is_caught_and_gone_with_borders_that_go_round() -> None:
    inputs = 1 + 0.1 * noise(4, 1, SIDE, SIDE)
    found = POSITION_LEAK(head(Ramp(), 3), samples(inputs))
    assert found.verdict == "fail"
    assert found.measured == pytest.approx(1, abs=0.05)
    assert found.predicted == 0
    for _, own, control in found.table.rows:
        assert own == pytest.approx(1, abs=0.05)
        assert control == pytest.approx(0, abs=1e-6)


def test_a_trunk_without_borders_has_nothing_to_read() -> None:
    classifier = head(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU()), 8)
    found = POSITION_LEAK(classifier, samples(noise(4, 3, SIDE, SIDE)))
    assert found.verdict == "pass"
    assert found.measured == pytest.approx(0, abs=1e-6)
    assert any("no zero padding" in note for note in found.notes)


def test_signals_and_volumes_have_their_own_axes_and_small_inputs_are_refused() -> None:
    for dims, names in ((1, ("columns",)), (3, ("planes", "rows", "columns"))):
        inputs = noise(3, 2, *([16] * dims))
        classifier = convnet(dims=dims, in_channels=2, widths=(4, 8), num_classes=3)  # type: ignore[arg-type]
        found = POSITION_LEAK(classifier, samples(inputs))
        assert found.table.column("position along") == names
        assert all(abs(float(control or 0)) < 0.05 for control in found.table.column("borders that go round"))
    found = POSITION_LEAK(convnet(widths=(4, 8, 8), num_classes=3), samples(noise(3, 3, 8, 8)))
    assert found.advice == "needs inputs of four strides and more along each axis"
    found = POSITION_LEAK(convnet(widths=(4, 8, 8), num_classes=3), samples(noise(1, 3, 32, 32)))
    assert found.advice.startswith("needs two samples: the probe")
