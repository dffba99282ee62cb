"""What a head costs: counts from formulas, counts from the modules."""

import pytest
import torch
from torch import nn

import globalpool as gp
from globalpool.audits import AuditData
from globalpool.audits.head_cost import HEAD_COST, fully_connected_cost
from globalpool.layout import Features


def classifier(pool: gp.Pool, tail: nn.Module) -> gp.PooledClassifier:
    return gp.PooledClassifier(nn.Identity(), pool, tail).eval()


def data(*size: int) -> AuditData:
    return AuditData((torch.rand(1, *size),), torch.zeros(1, dtype=torch.long), True, ("a",))


def test_a_pooled_head_is_the_fully_connected_one_with_tied_weights() -> None:
    finding = HEAD_COST(classifier(gp.Mean(), nn.Linear(12, 5)), data(12, 7, 7))
    rows = {row[0]: row[1:3] for row in finding.table.rows}
    assert rows["its own"] == rows["its own, predicted"] == (5 * 12 + 5, 5 * 12)
    assert rows["flatten and fully connected"] == (5 * 12 * 49 + 5, 5 * 12 * 49)
    assert finding.verdict == "pass"
    assert finding.measured == finding.predicted == 65 / 2945
    assert "a fully connected head has 45 times the parameters" in finding.advice


def test_the_formula_is_that_of_the_layer() -> None:
    layer = nn.Linear(12 * 3 * 4 * 2, 5)
    counted = gp.cost(nn.Sequential(nn.Flatten(), layer), (12, 3, 4, 2), runs=0).whole
    found = fully_connected_cost(torch.rand(1, 12, 3, 4, 2), 5, 0)
    assert (found.parameters, found.multiply_adds) == (counted.parameters, counted.multiply_adds)


@pytest.mark.parametrize("pool", [gp.Concat(gp.Mean(), gp.Max()), gp.Grid(7, 7), gp.GeM(3.0, eps=1e-6)])
def test_predicted_and_counted_agree_for_every_linear_tail(pool: gp.Pool) -> None:
    finding = HEAD_COST(classifier(pool, nn.Linear(pool.out_features(6), 4, bias=False)), data(6, 7, 7))
    assert finding.measured == finding.predicted
    assert finding.verdict == "pass"


def test_a_wide_head_of_two_layers_is_caught() -> None:
    """AlexNet's kind: every position to a wide hidden layer."""
    tail = nn.Sequential(nn.Linear(6 * 49, 64), nn.ReLU(), nn.Linear(64, 4))
    finding = HEAD_COST(classifier(gp.Grid(7, 7), tail), data(6, 7, 7))
    assert finding.verdict == "fail"
    assert finding.predicted is None
    assert finding.measured == pytest.approx((6 * 49 * 64 + 64 + 64 * 4 + 4) / (6 * 49 * 4 + 4))
    assert finding.table.rows[0][2] == 6 * 49 * 64 + 64 * 4


def test_what_is_too_large_is_counted_only() -> None:
    finding = HEAD_COST(classifier(gp.Mean(), nn.Linear(64, 100)), data(64, 32, 32, 32))
    assert finding.table.rows[2][1] == 64 * 32**3 * 100 + 100
    assert finding.table.rows[2][3] is None
    assert finding.notes == ("the fully connected layer was counted and not built: too many numbers",)


def test_graphs_cannot_be_flattened() -> None:
    class Rows(nn.Module):
        def forward(self, x: torch.Tensor) -> Features:
            return Features(x[0].T, {"ptr": torch.tensor([0, x.shape[2]])})

    graphs = gp.PooledClassifier(Rows(), gp.Mean(), nn.Linear(6, 4)).eval()
    finding = HEAD_COST(graphs, data(6, 5))
    assert finding.verdict == "not applicable"
    assert finding.advice == "needs a feature map on a regular grid: rows of any number cannot be flattened"
