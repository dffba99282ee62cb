"""Variance: what the weights promise is met by a trunk of single positions and not by one whose positions overlap."""

import pytest
import torch
from torch import nn

from globalpool.audits.effective import autoregressive, from_correlation
from globalpool.audits.variance import VARIANCE
from globalpool.pools import Mean, ScaledSum, Sum
from tests.audits.samples import convolution, head, noise, samples


@pytest.mark.parametrize("pool", [Mean(), Sum(), ScaledSum(0.5)], ids=lambda pool: pool.name)
def test_positions_by_themselves_are_worth_their_count(pool):  # type: ignore[no-untyped-def]
    found = VARIANCE(head(nn.Conv2d(3, 64, 1), 64, pool=pool), samples(noise(16, 3, 8, 8)))
    assert found.verdict == "pass"
    assert found.predicted == pytest.approx(64)
    rows = {row[0]: row for row in found.table.rows}
    assert rows["independent noise at the map"][2] == pytest.approx(64, rel=0.1)
    assert rows["independent noise at the input"][2] == pytest.approx(64, rel=0.5)
    assert rows["the same, positions shuffled between samples"][1] == pytest.approx(64)


def test_overlapping_positions_are_worth_what_the_filter_says_and_a_wide_one_is_caught() -> None:
    """White noise through a circular kernel: N sum k^2 / (sum k)^2."""
    box = torch.ones(3, 3)
    trunk = convolution(box, padding=1, mode="circular", channels=24)
    found = VARIANCE(head(trunk, 24), samples(noise(12, 24, 12, 12)))
    assert found.measured == pytest.approx(144 / 9, rel=0.35)
    assert found.verdict == "pass"
    wide = convolution(torch.ones(7, 7), padding=3, mode="circular", channels=24)
    found = VARIANCE(head(wide, 24), samples(noise(12, 24, 12, 12)))
    assert found.measured == pytest.approx(144 / 49, rel=0.35)
    assert found.verdict == "fail"
    assert found.predicted == pytest.approx(144)


def test_neighbours_of_one_half_predict_the_variance_of_the_other_as_far_as_their_model_goes() -> None:
    trunk = convolution(torch.ones(5, 5), padding=2, mode="circular", channels=32)
    found = VARIANCE(head(trunk, 32), samples(noise(60, 32, 10, 10)))
    rows = {row[0]: row for row in found.table.rows}
    _, told, measured = rows["variation between samples"]
    assert told == pytest.approx(float(from_correlation(autoregressive((10, 10), 0.8))), rel=0.15)  # 3.4: no box
    assert measured == pytest.approx(100 / 25, rel=0.25)
    _, _, control = rows["the same, positions shuffled between samples"]
    assert control == pytest.approx(100, rel=0.25)
