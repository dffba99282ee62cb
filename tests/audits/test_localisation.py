"""Objects whose boxes are known: found by evidence that looks, not by evidence that points to the middle."""

from typing import Unpack

import numpy as np
import pytest
import torch
from torch import Tensor

import globalpool as gp
from globalpool.audits.deciding import deciding
from globalpool.audits.localisation import LOCALISATION, against_boxes
from globalpool.evidence import Classes, Evidence
from globalpool.layout import LayoutArguments
from tests.audits.objects import looker, objects


def boxes(count: int) -> tuple[gp.audits.AuditData, dict[str, list[int]]]:
    data = objects(count)
    corners = [tuple(map(int, name.split(","))) for name in data.ids]
    named = tuple(str(number) for number in range(count))
    data = gp.audits.AuditData(data.inputs, data.targets, True, named)
    return data, {name: [x, y, 8, 8] for name, (x, y) in zip(named, corners, strict=True)}


class Middle(gp.PooledClassifier):
    """Points to the middle, whatever it sees."""

    def evidence(self, x: Tensor, classes: Classes = "top1", **layout: Unpack[LayoutArguments]) -> Evidence:
        found = super().evidence(x, classes, **layout)
        line = torch.linspace(-1, 1, found.maps.shape[-1])
        blob = torch.exp(-2 * (line[:, None] ** 2 + line**2))
        scale = torch.arange(found.maps.shape[1], 0, -1).reshape(1, -1, 1, 1)
        return Evidence(blob * scale, *[getattr(found, name) for name in FIELDS])


FIELDS = ("classes", "logits", "offset", "layout", "kind", "num_classes", "tolerance")


def test_evidence_that_looks_beats_the_middle() -> None:
    data, true = boxes(40)
    finding = against_boxes(true)(looker(), data)
    assert finding.verdict == "pass"
    rows = {row[0]: row[1] for row in finding.table.rows}
    assert rows["evidence"] > 0.9  # type: ignore[operator]
    assert finding.measured == pytest.approx(rows["evidence"] - rows["centre"])  # type: ignore[operator]
    assert against_boxes(true)(looker(), data).table == finding.table


def test_the_middle_does_not_beat_itself() -> None:
    data, true = boxes(40)
    finding = against_boxes(true)(looker(Middle), data)
    assert finding.verdict == "fail"
    assert finding.advice.startswith("Boxes from this evidence are no better than the middle of the picture")


class SometimesLooking(Middle):
    """Points to objects of one class, and to the middle otherwise."""

    def evidence(self, x: Tensor, classes: Classes = "top1", **layout: Unpack[LayoutArguments]) -> Evidence:
        own = gp.PooledClassifier.evidence(self, x, classes, **layout)
        return own if int(own.classes[0, 0]) == 0 else super().evidence(x, classes, **layout)


def test_what_may_be_chance_does_not_pass() -> None:
    data, true = boxes(17)  # of the 9 that judge, 2 are looked at
    finding = against_boxes(true)(looker(SometimesLooking), data)
    assert finding.measured is not None
    assert finding.interval is not None
    assert finding.measured > 0
    assert finding.interval[0] <= 0 < finding.interval[1]
    assert finding.verdict == "fail"


def test_the_threshold_comes_from_the_samples_that_are_not_judged() -> None:
    data, true = boxes(30)
    classifier = looker(SometimesLooking)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0)).tolist()
    evidence = [deciding(classifier, data.inputs[number]) for number in order]
    maps = [one.interpolate((32, 32))[0, 0].numpy() for one in evidence]  # type: ignore[call-overload]
    places = [true[str(number)] for number in order]
    chosen = gp.localize.max_box_accuracy(maps[:15], places[:15]).rows[0]
    leaked = gp.localize.max_box_accuracy(maps[15:], places[15:]).rows[0]
    assert chosen.centre_threshold != leaked.centre_threshold
    table = against_boxes(true)(classifier, data).table
    assert table.number("evidence", "threshold") == chosen.threshold
    assert table.number("centre", "threshold") == chosen.centre_threshold


def test_it_says_what_it_needs() -> None:
    data, true = boxes(4)
    finding = LOCALISATION(looker(), data)
    assert finding.verdict == "not applicable"
    assert finding.advice.startswith("needs true boxes: --boxes TABLE, or audits.localisation.against_boxes(boxes)")
    elsewhere = against_boxes({"x.png": [0, 0, 1, 1]})(looker(), data)
    assert elsewhere.advice == "no box is keyed by an id of these samples, as '0'"
    few = against_boxes({name: true[name] for name in ("0", "1")})(looker(), data)
    assert few.advice.startswith("needs four samples with boxes or more")
    assert against_boxes({name: np.array([true[name]]) for name in true})(looker(), data).verdict == "info"
