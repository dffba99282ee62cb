"""Mixing: exact where the rest is affine, a head that only says so caught, stages proven to be cuts."""

import pytest
import torch
from torch import Tensor, nn

from globalpool.audits.cuts import mixed_at, stages
from globalpool.audits.mixing import MIXING
from globalpool.classifier import PooledClassifier
from globalpool.evidence.held import Held
from globalpool.models import convnet
from globalpool.pools import Max, Mean, Sum
from tests.audits.samples import head, noise, samples


class Claiming(nn.Module):
    """Two layers with a rectifier between, called affine."""

    affine = True

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, vectors: Tensor) -> Tensor:
        logits: Tensor = self.layers(vectors)
        return logits

    def hold(self, vectors: Tensor) -> Held:
        from globalpool.evidence.hold import hold

        return hold(self.layers, vectors)


def test_an_affine_head_mixes_exactly_and_the_trunk_in_front_of_it_does_not() -> None:
    for pool in (Mean(), Sum()):
        torch.manual_seed(0)
        found = MIXING(convnet(widths=(8, 16), num_classes=3, pool=pool), samples(noise(6, 3, 16, 16)))
        assert found.verdict == "pass"
        at = found.table.number
        for place in ("feature map", "pooled vector"):
            assert at(place, "Mixup gap, predicted") == 0
            assert at(place, "Mixup gap") < 1e-5
            assert at(place, "most above the chord") < 1e-5
            assert at(place, "convex") == 1
        assert at("input", "Mixup gap") > 1e-2
        assert at("feature map", "CutMix gap by area") > 1e-3
        assert found.tables[1].number("by evidence", "gap") < 1e-5


def test_two_layers_called_affine_are_caught() -> None:
    torch.manual_seed(0)
    trunk = convnet(widths=(8,)).trunk
    classifier = PooledClassifier(trunk, Mean(), Claiming()).eval()
    assert classifier.affine
    found = MIXING(classifier, samples(noise(6, 3, 16, 16) + 4 * noise(6, 3, 1, 1)))
    assert found.verdict == "fail"
    assert found.measured is not None
    assert found.measured > 1e-3
    assert "says it is affine and is not" in found.advice


def test_a_head_that_does_not_claim_it_is_measured_without_a_verdict() -> None:
    found = MIXING(convnet(widths=(8, 16), num_classes=3, pool=Max()), samples(noise(6, 3, 16, 16)))
    assert found.verdict == "info"
    assert found.predicted is None
    assert found.measured is not None
    assert found.measured > 1e-3


def test_an_affine_network_mixes_exactly_at_its_input() -> None:
    trunk = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, stride=2))
    table = MIXING(head(trunk, 8), samples(noise(4, 3, 16, 16))).table
    places = table.column("mixed at")
    assert all(table.number(place, "Mixup gap") < 1e-5 for place in places)
    assert len(places) == 4  # input, the stage of 16 x 16, map, vector


class Skipping(nn.Module):
    """A stride inside a branch: everything passes through ``last``, not through ``branch``."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.branch, self.short = nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.AvgPool2d(2)
        self.last = nn.Conv2d(4, 4, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        out: Tensor = self.last(self.branch(x).relu() + self.short(x))
        return out


def test_a_branch_beside_a_shortcut_is_no_stage() -> None:
    classifier = head(Skipping(), 4)
    assert list(stages(classifier, noise(2, 3, 16, 16))) == ["first (16 x 16)"]


def test_mixing_at_a_stage_is_the_rest_of_the_network_run_by_hand() -> None:
    classifier = convnet(widths=(4, 8, 8), num_classes=3).eval()
    first, second = noise(2, 3, 16, 16), noise(2, 3, 16, 16, seed=1)
    found = stages(classifier, noise(2, 3, 16, 16))
    assert [name.split(" ", 1)[1] for name in found] == ["(16 x 16)", "(8 x 8)"]
    for name, module in found.items():
        place = int(name.split(" ")[0]) + 1
        layers = list(classifier.trunk.children())
        front, back = nn.Sequential(*layers[:place]), nn.Sequential(*layers[place:])
        with torch.no_grad():
            mixed = 0.3 * front(first) + 0.7 * front(second)
            expected = classifier.tail(classifier.pool(back(mixed)))
            got = mixed_at(classifier, module, first, second, lambda a, b: 0.3 * a + 0.7 * b)
        assert torch.allclose(got, expected, atol=1e-6)


def test_samples_of_one_class_cannot_be_mixed() -> None:
    found = MIXING(convnet(widths=(4,), num_classes=3), samples(noise(3, 3, 8, 8), [1, 1, 1]))
    assert found.verdict == "not applicable"
    assert found.advice == pytest.approx("needs two samples of different classes")
