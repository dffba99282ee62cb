"""Channels by area, against areas and weights that are set by hand."""

import pytest
import torch
from torch import Tensor, nn

import globalpool as gp
from globalpool.audits import AuditData
from globalpool.audits.area_bias import AREA_BIAS, areas
from globalpool.audits.deciding import deciding
from globalpool.audits.opened import opened

CHANNELS = 8


def data(samples: int = 4) -> AuditData:
    """Channel ``c`` is one on ``c + 1`` of the eight columns; which ones depends on the sample."""
    inputs = []
    for sample in range(samples):
        x = torch.zeros(1, CHANNELS, 8, 8)
        for channel in range(CHANNELS):
            x[0, channel, :, [(sample + column) % 8 for column in range(channel + 1)]] = 1
        inputs.append(x)
    return AuditData(tuple(inputs), torch.zeros(samples, dtype=torch.long), True, tuple(map(str, range(samples))))


def classifier(weights: Tensor, pool: gp.Pool | None = None) -> gp.PooledClassifier:
    pool = gp.Mean() if pool is None else pool
    tail = nn.Linear(pool.out_features(CHANNELS), 2)
    with torch.no_grad():
        tail.weight.copy_(torch.stack([weights, torch.zeros(CHANNELS)]).repeat(1, pool.regions))
        tail.bias.zero_()
    return gp.PooledClassifier(nn.Identity(), pool, tail).eval()


def test_areas_are_those_painted() -> None:
    found = areas(data(1).inputs[0][0].flatten(1))
    assert found.tolist() == pytest.approx([(channel + 1) / 8 for channel in range(CHANNELS)])
    assert bool(areas(-torch.ones(1, 4)).isnan())


def test_weights_that_undo_the_area_are_caught() -> None:
    finding = AREA_BIAS(classifier(1 / torch.arange(1, CHANNELS + 1)), data())
    assert finding.verdict == "fail"
    assert finding.measured == pytest.approx(-1)
    weights = finding.tables[1].column("weight")
    assert weights[0] > weights[-1]  # type: ignore[operator]


def test_weights_that_know_nothing_of_it_pass() -> None:
    # Ranks 3 7 1 5 0 6 2 4 against 0 to 7: 1 - 6 * 90 / (8 * 63)
    order = torch.tensor([3.0, 7, 1, 5, 0, 6, 2, 4]) + 1
    finding = AREA_BIAS(classifier(order), data())
    squares = sum((a - b) ** 2 for a, b in zip([3, 7, 1, 5, 0, 6, 2, 4], range(8), strict=True))
    assert finding.measured == pytest.approx(1 - 6 * squares / (8 * 63))
    assert finding.verdict == "pass"


def test_evidence_against_within_the_foreground() -> None:
    """Channel 7 covers all and speaks for the class by 2, channel 6 against it by 1 on all but one column."""
    weights = torch.tensor([0.5, 0.5, 0.5, 0, 0, 0, -1, 2])
    x = data(1)
    found = classifier(weights)
    evidence = deciding(found, x.inputs[0])
    here = evidence.maps[0, 0] > 0.2 * evidence.maps.max()
    features = opened(found, x.inputs[0]).features[0]
    for_it = against = 0.0
    for row in range(8):
        for column in range(8):
            if here[row, column]:
                for channel in range(CHANNELS):
                    part = float(weights[channel] * features[channel, row, column]) / 64
                    for_it, against = for_it + max(part, 0), against + max(-part, 0)
    finding = AREA_BIAS(found, x)
    row_name = "evidence against, per evidence for, within the foreground"
    assert finding.table.where("bias", row_name).rows[0][1] == pytest.approx(against / for_it)


def test_several_regions_have_no_one_area() -> None:
    finding = AREA_BIAS(classifier(torch.ones(CHANNELS), gp.Concat(gp.Mean(), gp.Max())), data())
    assert finding.verdict == "not applicable"
    assert finding.advice.startswith("needs a pool with one number a channel")
