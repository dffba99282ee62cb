"""Evidence that says what the classifier goes by, and evidence that does not."""

from dataclasses import replace
from typing import Any, Unpack

import pytest
import torch
from torch import Tensor

import globalpool as gp
from globalpool.audits.deciding import deciding, values
from globalpool.audits.deletion import ORDERS, STEPS, at_input, at_map, gone, orders
from globalpool.audits.faithfulness import FAITHFULNESS
from globalpool.audits.opened import opened
from globalpool.audits.ranks import rank_correlation, ranks
from globalpool.audits.scrambled import scrambled
from globalpool.evidence import Classes, Evidence
from globalpool.layout import LayoutArguments
from tests.audits.objects import looker, objects, snapshot


class Shuffled(gp.PooledClassifier):
    """Its evidence lies at other positions than what it goes by; it still adds up."""

    def evidence(self, x: Tensor, classes: Classes = "top1", **layout: Unpack[LayoutArguments]) -> Evidence:
        found = super().evidence(x, classes, **layout)
        order = torch.randperm(found.maps.shape[2] * found.maps.shape[3], generator=torch.Generator().manual_seed(3))
        return replace(found, maps=found.maps.flatten(2)[:, :, order].reshape(found.maps.shape))


class ShuffledWeighted(Shuffled):
    """The same, said to be no counterfactual."""

    def evidence(self, *args: Any, **kwargs: Any) -> Evidence:
        return replace(super().evidence(*args, **kwargs), kind="weighted")


class Brightness(gp.PooledClassifier):
    """Shows where the input is bright, whatever the classifier has learned."""

    def evidence(self, x: Tensor, classes: Classes = "top1", **layout: Unpack[LayoutArguments]) -> Evidence:
        found = super().evidence(x, classes, **layout)
        bright = torch.nn.functional.avg_pool2d(x.sum(1, keepdim=True), 4)
        scale = torch.arange(found.maps.shape[1], 0, -1).reshape(1, -1, 1, 1)
        return replace(found, maps=bright * scale, kind="gated")


def test_linear_evidence_of_a_classifier_that_looks_passes() -> None:
    classifier = looker()
    before = snapshot(classifier)
    finding = FAITHFULNESS(classifier, objects())
    assert finding.verdict == "pass"
    assert finding.interval is not None
    assert finding.interval[0] > 0
    table = finding.table.where("removed at", "map")
    assert table.column("error of the prediction")[0] < 1e-6  # type: ignore[operator]
    curve = finding.tables[2]
    for order in ORDERS:
        for told, seen in zip(curve.column(f"{order}, predicted"), curve.column(order), strict=True):
            assert told == pytest.approx(seen, abs=1e-5)
    for one, after in zip(before, classifier.state_dict().values(), strict=True):
        assert torch.equal(one, after)
    assert FAITHFULNESS(classifier, objects()).record() | {"seconds": 0} == finding.record() | {"seconds": 0}


def test_shuffled_evidence_is_caught_at_the_map() -> None:
    finding = FAITHFULNESS(looker(Shuffled), objects())
    assert finding.verdict == "fail"
    assert finding.advice.startswith("The evidence is called linear and does not predict")


def test_shuffled_evidence_that_claims_less_is_caught_at_the_input() -> None:
    finding = FAITHFULNESS(looker(ShuffledWeighted), objects())
    assert finding.verdict == "fail"
    assert finding.advice.startswith("Deletion by evidence at the input hurts no more than at random")


def test_a_map_of_the_input_is_caught_by_the_twins() -> None:
    finding = FAITHFULNESS(looker(Brightness), objects())
    assert finding.verdict == "fail"
    assert finding.advice.startswith("The evidence hardly changes when the tail is scrambled")


@pytest.mark.parametrize("pool", [gp.Mean(), gp.Sum(), gp.Grid(2, 2)])
def test_the_curve_is_the_logit_less_what_has_gone(pool: gp.Pool) -> None:
    """Against a loop that sets positions to zero one by one."""
    torch.manual_seed(0)
    classifier = gp.PooledClassifier(torch.nn.Identity(), pool, torch.nn.Linear(pool.out_features(3), 4)).double()
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        evidence, at = deciding(classifier, x), opened(classifier, x)
        own = values(evidence)
        by = orders(own, torch.Generator().manual_seed(1))
        found = at_map(at, evidence, own, by)
        assert found.predicted is not None
        torch.testing.assert_close(found.measured, found.predicted, rtol=0, atol=1e-12)
        first, second = classifier(x)[0].topk(2).indices.tolist()
        for row, order in enumerate(by):
            for column, step in enumerate(STEPS):
                changed = x.clone()
                for position in order[: round(step * 20)].tolist():
                    changed[0, :, position // 5, position % 5] = 0
                logits = classifier(changed)[0]
                expected = float(logits[first] - logits[second])
                assert float(found.measured[row, column]) == pytest.approx(expected, abs=1e-12)


def test_insertion_is_deletion_in_the_reverse_order() -> None:
    classifier, data = looker(), objects(1)
    with torch.no_grad():
        evidence = deciding(classifier, data.inputs[0])
        by = orders(values(evidence), torch.Generator())
        found = at_input(classifier, data.inputs[0], evidence, by)
        x = data.inputs[0]
        mean = x.mean((2, 3), keepdim=True)
        first, second = int(evidence.classes[0, 0]), int(evidence.against[0])  # type: ignore[index]
        for column, mask in enumerate(gone(by[0])):  # put in by evidence what deletion has not taken yet in reverse
            pixels = mask.reshape(8, 8).repeat_interleave(4, 0).repeat_interleave(4, 1)
            logits = classifier(torch.where(pixels, x, mean))[0]
            assert float(found.measured[2].flip(0)[column]) == pytest.approx(
                float(logits[first] - logits[second]), abs=1e-5
            )


def test_a_scrambled_twin_keeps_its_numbers_and_leaves_the_original() -> None:
    classifier = looker()
    before = snapshot(classifier)
    twin = scrambled(classifier, classifier.tail, torch.Generator().manual_seed(0))
    assert twin is not None
    own, other = classifier.tail.weight, twin.tail.weight
    assert not torch.equal(own, other)  # type: ignore[arg-type]
    assert torch.equal(own.flatten().sort().values, other.flatten().sort().values)  # type: ignore[operator]
    assert all(torch.equal(a, b) for a, b in zip(before, classifier.state_dict().values(), strict=True))
    flat = gp.PooledClassifier(torch.nn.Identity(), gp.Mean(), torch.nn.Linear(2, 2))
    assert scrambled(flat, flat.trunk, torch.Generator()) is None


def test_rank_correlation_by_hand() -> None:
    assert ranks(torch.tensor([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0.0, 2.5, 1.0]
    assert rank_correlation(torch.arange(5), torch.tensor([0, 1, 8, 27, 64])) == pytest.approx(1)
    # 1 - 6 sum d^2 / (n (n^2 - 1)) without ties: d = (1, -1, 0, 0)
    assert rank_correlation(torch.tensor([1, 2, 3, 4]), torch.tensor([2, 1, 3, 4])) == pytest.approx(1 - 12 / 60)
    assert rank_correlation(torch.ones(4), torch.arange(4)) == 0
