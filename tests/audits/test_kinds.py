"""Signals, volumes, graphs, padded and adopted networks: each audit answers, or says in one line why it cannot."""

from dataclasses import dataclass, replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

import globalpool as gp
from globalpool.audits import ALL, MIXING, NOISE, POSITION_LEAK, RESOLUTION, SHIFT, VARIANCE, Finding
from globalpool.audits.samples import UNEVEN
from globalpool.layout import Features, Padded
from globalpool.models import convnet
from globalpool.surgery import adopt
from tests.audits.samples import noise, samples

OWN = (RESOLUTION, SHIFT, POSITION_LEAK, NOISE, VARIANCE, MIXING)


def one_line(findings: tuple[Finding, ...]) -> None:
    for found in findings:
        assert found.advice
        assert "\n" not in found.advice
        assert not found.advice.startswith("stopped"), found


@pytest.mark.parametrize("dims", [1, 3])
def test_signals_and_volumes_are_audited(dims: Literal[1, 3]) -> None:
    classifier = convnet(dims=dims, in_channels=2, widths=(6, 8), num_classes=3).eval()
    found = gp.audit(classifier, noise(4, 2, *([16] * dims)), targets=[0, 1, 2, 0], audits=OWN)
    one_line(found)
    assert "not applicable" not in {one.verdict for one in found}


@dataclass
class Graph:
    """Nodes ``(T, C)`` of one graph."""

    x: Tensor


class Nodes(nn.Module):
    """Each node by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 8)

    def forward(self, graph: Graph) -> Features:
        values = self.layer(graph.x).relu()
        return Features(values, {"batch": torch.zeros(len(values), dtype=torch.long), "size": 1})


def test_graphs_are_told_what_is_missing() -> None:
    classifier = gp.PooledClassifier(Nodes(), gp.Mean(), nn.Linear(8, 3)).eval()
    graphs = [Graph(noise(5 + number, 3, seed=number)) for number in range(4)]
    found = gp.audit(classifier, graphs, audits=ALL)
    one_line(found)
    for one in found:
        if one.audit in {audit.name for audit in OWN}:
            assert one.verdict == "not applicable"
            assert one.advice == "needs inputs (N, C, *S) on a regular grid; these are Graph"


def test_padded_inputs_are_told_so_too_and_those_padded_by_nothing_are_audited() -> None:
    classifier = convnet(dims=1, in_channels=2, widths=(4, 8), num_classes=3).eval()
    padded = [Padded(noise(1, 2, 16), torch.tensor([[12]])) for _ in range(3)]
    found = gp.audit(classifier, padded, audits=OWN)
    assert {one.advice for one in found} == {UNEVEN}
    lengths = (21, 18, 30, 25)
    full = [Padded(noise(1, 2, length, seed=length), torch.tensor([[length]])) for length in lengths]
    full[1] = replace(full[1], measure=torch.ones(1, lengths[1]))
    plain = [one.values for one in full]
    wrapped, bare = (gp.audit(classifier, data, targets=[0, 1, 2, 0], audits=OWN, budget=1e4) for data in (full, plain))
    one_line(wrapped)
    assert [one.measured for one in wrapped] == [one.measured for one in bare]
    assert all(one.verdict != "not applicable" for one in wrapped)
    assert wrapped[1].notes == ("inputs are cropped to whole strides of (2,)",)


def test_samples_of_different_sizes_are_cropped_to_their_middles_where_too_few_are_alike() -> None:
    inputs = [noise(1, 1, 5, 6, seed=seed) for seed in range(2)] + [noise(1, 1, 4, 9)]
    data = gp.audits.gather(convnet(in_channels=1, widths=(4,)).eval(), inputs, targets=[0, 1, 2])
    assert [tuple(x.shape[2:]) for x in data.alike(2)] == [(5, 6)] * 2
    cropped = data.alike(3)
    assert [tuple(x.shape[2:]) for x in cropped] == [(4, 6)] * 3
    assert torch.equal(cropped[2], inputs[2][..., 1:7])
    assert torch.equal(cropped[0], inputs[0][:, :, 0:4])


class Network(nn.Module):
    """As anybody writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
        )
        self.average, self.last = nn.AdaptiveAvgPool2d(1), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.average(self.body(x)).flatten(1))
        return logits


def test_an_adopted_network_answers_as_the_same_network_built_of_its_parts() -> None:
    torch.manual_seed(0)
    network = Network().eval()
    adopted = adopt(network, noise(2, 3, 32, 32))
    built = gp.PooledClassifier(network.body, gp.Mean(), network.last).eval()
    data = samples(noise(4, 3, 32, 32) + 2 * noise(4, 3, 1, 1), [0, 1, 2, 3])
    for audit in (RESOLUTION, SHIFT, POSITION_LEAK, NOISE, VARIANCE):
        ours, theirs = audit(built, data), audit(adopted, data)
        assert theirs.verdict == ours.verdict != "not applicable", audit.name
        assert theirs.measured == pytest.approx(ours.measured, rel=1e-3, abs=1e-4), audit.name
    assert (
        SHIFT(adopted, data).table.number("input, whole strides, borders that go round", "change of the logits") < 1e-5
    )
    mixed = MIXING(adopted, data)
    assert mixed.verdict == "pass"
    assert mixed.table.column("mixed at") == ("input", "feature map", "pooled vector")  # a graph has no modules
