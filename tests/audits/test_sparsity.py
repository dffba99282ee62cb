"""How many positions carry a logit, counted by hand, and on maps that point somewhere or nowhere."""

import pytest
import torch
from torch import nn

import globalpool as gp
from globalpool.audits import AuditData
from globalpool.audits.sparsity import SPARSITY, carrying
from tests.audits.objects import looker, objects


def test_positions_that_reach_a_share() -> None:
    evidence = torch.tensor([1.0, 5.0, -2.0, 4.0, 2.0]).double()
    found = carrying(evidence, 0.9)  # of 10: 5 + 4 reach 9
    assert found is not None
    assert found.tolist() == [False, True, False, True, False]
    alone = carrying(evidence, 0.5)
    assert alone is not None
    assert alone.tolist() == [False, True, False, False, False]
    assert carrying(torch.tensor([1.0, -1.0]), 0.9) is None


def test_an_object_on_four_of_64_positions() -> None:
    finding = SPARSITY(looker(), objects())
    assert finding.verdict == "pass"
    assert finding.measured is not None
    assert finding.measured < 0.1
    for told, seen in zip(
        *(finding.table.column(f"kept by them, {of}") for of in ("predicted", "measured")), strict=True
    ):
        assert told == pytest.approx(seen, abs=1e-4)


def test_evidence_that_is_equal_everywhere_points_nowhere() -> None:
    class Blurred(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            small: torch.Tensor = looker().trunk(x)
            return small.mean((2, 3), keepdim=True).expand(small.shape)

    classifier = gp.PooledClassifier(Blurred(), gp.Mean(), looker().tail).eval()
    finding = SPARSITY(classifier, objects())
    assert finding.verdict == "fail"
    assert finding.measured == pytest.approx(58 / 64)  # the first count that reaches 0.9 of 64
    assert finding.advice == "The evidence is spread over the whole map: do not read it as a place."


def test_few_positions_give_no_verdict() -> None:
    data = AuditData((torch.rand(1, 6, 8, 8),), torch.zeros(1, dtype=torch.long), True, ("a",))
    assert SPARSITY(looker(), data).verdict == "info"
