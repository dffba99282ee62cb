"""Changes that should not matter, on classifiers that do and do not mind."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

import globalpool as gp
from globalpool.audits import AuditData
from globalpool.audits.consistency import AT_MAP, CONSISTENCY, changed, deviation
from globalpool.audits.transformations import (
    cropped,
    cut,
    is_picture,
    of_grid,
    of_pictures,
    of_values,
    pixels,
    relabelled,
    smoothed,
)
from globalpool.classifier import InputSpec
from globalpool.data.prepare import normalized
from globalpool.layout import Features, Padded
from tests.audits.objects import looker, objects

SPEC = InputSpec(24, (0.5, 0.4, 0.3), (0.5, 0.2, 0.3))


def pictures(samples: int = 24) -> AuditData:
    """Pictures of one colour with some grain; class 1 where the level is above one half."""
    random = np.random.default_rng(0)
    inputs, targets = [], []
    for number in range(samples):
        level = (0.45, 0.55)[number % 2]
        grain = random.uniform(-0.05, 0.05, (24, 24, 3))
        inputs.append(normalized(((level + grain) * 255).round().astype(np.uint8), SPEC).unsqueeze(0))
        targets.append(number % 2)
    return AuditData(tuple(inputs), torch.tensor(targets), True, tuple(map(str, range(samples))), spec=SPEC)


def by_light() -> gp.PooledClassifier:
    """Class 1 where the mean of the first channel is above one half."""
    tail = nn.Linear(3, 2)
    with torch.no_grad():
        tail.weight.copy_(torch.tensor([[0.0, 0, 0], [8.0, 0, 0]]))
        tail.bias.zero_()
    return gp.PooledClassifier(nn.Identity(), gp.Mean(), tail, input_spec=SPEC).eval()


def by_ratio() -> gp.PooledClassifier:
    """The colours of the mean against each other: light does not matter. Samples of ``warm_and_cold``."""
    mean, std = (torch.tensor(of).reshape(-1, 1, 1) for of in (SPEC.mean, SPEC.std))

    class Colours(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * std + mean

    tail = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        tail.weight.copy_(torch.tensor([[4.0, 0, -4.0], [-4.0, 0, 4.0]]))
    return gp.PooledClassifier(Colours(), gp.Mean(), tail, input_spec=SPEC).eval()


def warm_and_cold(samples: int = 24) -> AuditData:
    random = np.random.default_rng(1)
    inputs = []
    for number in range(samples):
        colour = np.array(((0.6, 0.4, 0.2), (0.2, 0.4, 0.6))[number % 2])
        picture = ((colour + random.uniform(-0.05, 0.05, (24, 24, 3))) * 255).astype(np.uint8)
        inputs.append(normalized(picture, SPEC).unsqueeze(0))
    targets = torch.arange(samples) % 2
    return AuditData(tuple(inputs), targets, True, tuple(map(str, range(samples))), spec=SPEC)


def cell(finding: Any, change: str, column: str) -> float:
    (row,) = finding.table.where("change", change).rows
    return float(row[finding.table.columns.index(column)])


def test_a_classifier_that_goes_by_light_is_caught() -> None:
    finding = CONSISTENCY(by_light(), pictures())
    assert finding.verdict == "fail"
    assert finding.measured == 0.5  # the brighter half is taken for the darker one
    assert finding.advice == (
        "Train with such changes, or with a consistency objective: darker by 1/5 changes the class of 50 %."
    )
    assert cell(finding, "brighter by 1/5", "agreement") == 0.5
    assert cell(finding, "darker by 1/5", "accuracy") == 0.5
    assert cell(finding, "mirrored left to right", "agreement") == 1.0


def test_one_that_goes_by_the_ratio_of_colours_passes() -> None:
    finding = CONSISTENCY(by_ratio(), warm_and_cold())
    assert finding.verdict == "pass"
    assert finding.measured == 1.0
    assert cell(finding, "darker by 1/5", "logit deviation") == pytest.approx(0.2, abs=0.01)
    assert cell(finding, "colour x 0.5", "logit deviation") == pytest.approx(0.5, abs=0.02)
    assert CONSISTENCY(by_ratio(), warm_and_cold()).table == finding.table


def test_mirrored_at_the_map_no_mean_moves_and_a_grid_does() -> None:
    finding = CONSISTENCY(looker(), objects())
    assert cell(finding, AT_MAP, "predicted") == 0
    assert cell(finding, AT_MAP, "logit deviation") < 1e-6
    assert cell(finding, "mirrored left to right", "logit deviation") < 1e-6  # a 1 x 1 convolution is its own mirror
    pool = gp.Grid(2, 2)
    quadrants = gp.PooledClassifier(looker().trunk, pool, nn.Linear(pool.out_features(6), 6)).eval()
    found = CONSISTENCY(quadrants, objects())
    assert found.table.where("change", AT_MAP).rows[0][5] is None
    assert cell(found, AT_MAP, "logit deviation") > 0.01


def test_a_pool_that_reads_places_and_hides_it_is_caught() -> None:
    class LeftHalf(gp.Mean):
        """The mean of the left half, under another name."""

        def arrange(self, x: Tensor, **layout: Any) -> Any:
            return super().arrange(x, **layout)

        def forward(self, x: Tensor, **layout: Any) -> Tensor:
            return x[..., : x.shape[-1] // 2].mean((2, 3))

    finding = CONSISTENCY(looker(pool=LeftHalf()), objects())
    assert finding.verdict == "fail"
    assert finding.advice.startswith("Logits move when mirrored at the map, which they must not")


def test_changes_by_hand() -> None:
    x = torch.arange(8.0).reshape(1, 1, 8)
    assert cropped(x)[0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert smoothed(torch.tensor([[[3.0, 0, 6]]]))[0, 0].tolist() == [1.5, 3, 3]
    assert deviation(torch.tensor([[3.0, 1.0]]), torch.tensor([[4.0, 2.0]])) == 0  # a common shift is none
    assert deviation(torch.tensor([[3.0, 1.0]]), torch.tensor([[4.0, 1.0]])) == pytest.approx(0.5)


def test_pixels_invert_the_preparation() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    x = normalized(picture, SPEC).unsqueeze(0)
    assert (pixels(x, SPEC) == picture).all()
    assert is_picture(x, SPEC)
    assert not is_picture(x + 3, SPEC)
    assert not is_picture(x[:, :2], SPEC)
    darker = next(change for change in of_pictures(SPEC) if change.name == "darker by 1/5").apply(x)
    assert np.abs(pixels(darker, SPEC) - 0.8 * picture).max() <= 1
    grey = InputSpec(6, (0.5,), (0.5,))
    names = [change.name for change in of_pictures(grey)]
    assert "grey" not in names
    own = np.asarray(Image.fromarray(picture).convert("L"))
    assert (pixels(normalized(picture, grey).unsqueeze(0), grey)[..., 0] == own).all()


def test_signals_and_volumes_have_their_own_changes() -> None:
    lists: tuple[tuple[Literal[1, 3], int], ...] = ((1, 4), (3, 7))
    for dims, expected in lists:
        classifier = gp.models.convnet(dims, 2, 3, (4, 8)).eval()
        inputs = tuple(torch.randn(1, 2, *(8,) * dims) for _ in range(3))
        finding = CONSISTENCY(classifier, AuditData(inputs, torch.zeros(3, dtype=torch.long), False, ("a", "b", "c")))
        assert len([row for row in finding.table.rows if row[0] != AT_MAP]) == expected
        assert finding.table.rows[0][6] is None  # no labels, no accuracy


def test_a_measure_goes_where_its_positions_go() -> None:
    """Half the mass on the last of four positions: mirrored with its input, the mean is the same."""
    x = Padded(torch.tensor([[[[1.0, 2, 3, 9]]]]), torch.tensor([[1, 4]]), torch.tensor([[[1.0, 1, 1, 3]]]))
    mirrored = changed(of_grid(2)[1], x)
    assert mirrored.values.flatten().tolist() == [9, 3, 2, 1]
    assert mirrored.measure.flatten().tolist() == [3, 1, 1, 1]
    assert changed(of_values()[0], x).measure.flatten().tolist() == [1, 1, 1, 3]


class Messages(nn.Module):
    """Sums over neighbours."""

    def forward(self, graph: Any) -> Features:
        x, (sender, receiver) = graph.x, graph.edge_index
        return Features(
            x + torch.zeros_like(x).index_add(0, receiver, x[sender].tanh()), {"batch": graph.batch, "size": 1}
        )


def graphs(samples: int = 4) -> AuditData:
    random, inputs = torch.Generator().manual_seed(0), []
    for _ in range(samples):
        ends = torch.randint(0, 9, (2, 14), generator=random)
        edges = torch.cat([ends, ends.flip(0)], 1)
        weights = torch.arange(14.0).repeat(2)
        graph = Data(x=torch.randn(9, 3, generator=random), edge_index=edges, edge_weight=weights)
        inputs.append(Batch.from_data_list([graph]))
    return AuditData(tuple(inputs), torch.zeros(samples, dtype=torch.long), True, tuple(map(str, range(samples))))


def test_the_order_of_nodes_moves_no_logit_unless_the_trunk_counts_them() -> None:
    torch.manual_seed(0)
    tail = nn.Linear(3, 2)
    clean = CONSISTENCY(gp.PooledClassifier(Messages(), gp.Mean(), tail).eval(), graphs())
    assert cell(clean, "nodes in another order", "logit deviation") < 1e-6
    assert clean.verdict == "pass"

    class Ordered(Messages):
        def forward(self, graph: Any) -> Features:
            found = super().forward(graph)
            return Features(found.values * torch.linspace(0, 1, graph.num_nodes)[:, None], found.layout)

    found = CONSISTENCY(gp.PooledClassifier(Ordered(), gp.Mean(), tail).eval(), graphs())
    assert found.verdict == "fail"
    assert found.advice.startswith("Logits move when nodes in another order")


def test_edges_are_cut_in_both_directions_with_their_attributes() -> None:
    graph = graphs(1).inputs[0]
    before = graph.edge_index.clone()
    found = cut(graph, torch.Generator().manual_seed(5))
    assert torch.equal(graph.edge_index, before)
    kept = {tuple(edge) for edge in found.edge_index.T.tolist()}
    assert 0 < len(kept) < len({tuple(edge) for edge in before.T.tolist()})
    assert all((b, a) in kept for a, b in kept)
    assert found.edge_weight.shape[0] == found.edge_index.shape[1]
    own = relabelled(graph, torch.Generator().manual_seed(5))
    old = sorted((*graph.x[a].tolist(), *graph.x[b].tolist()) for a, b in graph.edge_index.T.tolist())
    new = sorted((*own.x[a].tolist(), *own.x[b].tolist()) for a, b in own.edge_index.T.tolist())
    assert old == new
