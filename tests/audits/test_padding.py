"""Samples on canvases and in batches: what counts predict, what a mask cures, and what nothing tells the pool."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

import globalpool as gp
from globalpool.audits import AuditData, Finding
from globalpool.audits.canvases import enlarged, grown
from globalpool.audits.consistency import CONSISTENCY
from globalpool.audits.dilution import diluted
from globalpool.audits.faithfulness import FAITHFULNESS
from globalpool.audits.grids import as_tensor, like
from globalpool.audits.padding import PADDING
from globalpool.audits.together import together
from globalpool.layout import Features, Padded
from globalpool.models import PaddedSequential
from tests.audits.objects import looker, objects


def signals(samples: int = 6) -> AuditData:
    """Of different lengths, each as padded samples of one."""
    random = torch.Generator().manual_seed(0)
    inputs = tuple(Padded.of([torch.randn(2, 21 + 6 * number, generator=random)]) for number in range(samples))
    return AuditData(inputs, torch.zeros(samples, dtype=torch.long), True, tuple(map(str, range(samples))))


def of_signals(kind: type[nn.Sequential] = PaddedSequential) -> gp.PooledClassifier:
    torch.manual_seed(1)
    clean = gp.models.convnet(1, 2, 3, (8, 16))
    with torch.no_grad():  # after a norm with a bias the padding is not zero any more
        clean.trunk[1].bias.fill_(0.5)  # type: ignore[index]
    return gp.PooledClassifier(kind(*clean.trunk.children()), gp.Mean(), clean.tail).eval()


class Careless(nn.Sequential):
    """Takes a padded batch as if it were full."""

    def forward(self, x: Any) -> Any:
        return super().forward(x.values if isinstance(x, Padded) else x)  # type: ignore[no-untyped-call]


def row(finding: Finding, canvas: float) -> dict[str, Any]:
    (cells,) = finding.table.where("canvas", canvas).rows
    return dict(zip(finding.table.columns, cells, strict=True))


@pytest.mark.parametrize(
    "pool",
    [
        gp.Mean(),
        gp.Sum(),
        gp.ScaledSum(0.5),
        gp.Max(),
        gp.GeM(3.0, eps=1e-3),
        gp.LogMeanExp(2.0),
        gp.Concat(gp.Mean(), gp.Max()),
    ],
    ids=lambda pool: pool.name,
)
def test_counts_predict_what_zeros_do(pool: gp.Pool) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    canvas = (6, 9)
    expected = diluted(pool, pool(x), (4, 5), canvas)
    assert expected is not None
    torch.testing.assert_close(pool(enlarged(x, canvas)), expected, rtol=1e-12, atol=1e-14)


def test_counts_say_nothing_of_attention_or_bins() -> None:
    assert diluted(gp.SoftmaxPool(1.0), torch.rand(1, 3), (4,), (8,)) is None
    assert diluted(gp.Concat(gp.Mean(), gp.SoftmaxPool(1.0)), torch.rand(1, 6), (4,), (8,)) is None


def test_a_canvas_grows_in_proportion() -> None:
    assert grown((7, 7), 4.0) == (14, 14)
    assert grown((10,), 1.25) == (13,)
    assert enlarged(torch.ones(1, 1, 2), (4,)).tolist() == [[[1, 1, 0, 0]]]
    assert enlarged(torch.ones(1, 1, 1, 2), (2, 3)).tolist() == [[[[1, 1, 0], [0, 0, 0]]]]


def test_a_pool_that_heeds_its_mask_passes_and_the_dilution_is_as_counted() -> None:
    finding = PADDING(looker(), objects())
    assert finding.verdict == "pass"
    assert finding.measured == pytest.approx(finding.predicted, rel=1e-5)
    doubled = row(finding, 4.0)  # 8 x 8 becomes 16 x 16
    assert doubled["with a mask"] < 1e-5
    # The logit of an object: 60 times the mean of its channel, a quarter of which is left.
    data = objects()
    lost = [0.75 * 60 * float(x.mean((2, 3)).max()) for x in data.inputs]
    assert doubled["careless"] == pytest.approx(sum(lost) / len(lost), rel=1e-5)
    assert doubled["careless, predicted"] == pytest.approx(doubled["careless"], rel=1e-5)
    at_input = row(finding, 2.0)
    # A trunk of 1 x 1 convolutions sees no border; 32 becomes 46 pixels and 8 positions become 11, not 12.
    assert at_input["input, masked at the map"] < 1e-5
    assert 0 < at_input["input, careless"] < at_input["careless"]


def test_a_pool_that_drops_its_mask_is_caught() -> None:
    class Heedless(gp.Mean):
        def forward(self, x: Tensor, **layout: Any) -> Tensor:
            return super().forward(x)

    finding = PADDING(looker(pool=Heedless()), objects())
    assert finding.verdict == "fail"
    assert finding.advice.startswith("The pool does not heed its mask")


def test_padded_batches_with_a_trunk_that_knows_its_samples_pass() -> None:
    finding = PADDING(of_signals(), signals())
    assert finding.verdict == "pass"
    assert [count for count, _ in finding.tables[1].rows] == [2, 4, 6]
    assert all(isinstance(move, float) and move < 1e-5 for _, move in finding.tables[1].rows)


def test_tensors_of_several_lengths_become_padded_samples() -> None:
    data = signals()
    tensors = AuditData(tuple(x.values for x in data.inputs), data.targets, True, data.ids)
    finding = PADDING(of_signals(), tensors)
    assert finding.verdict == "pass"
    assert [count for count, _ in finding.tables[1].rows] == [2, 4, 6]
    assert row(finding, 2.0)["input, as padded samples"] < 1e-5
    assert row(finding, 2.0)["input, masked at the map"] > 1e-3  # the border sees what came of the zeros
    caught = PADDING(of_signals(Careless), tensors)
    assert caught.verdict == "fail"


def test_what_lies_beyond_a_sample_is_left_behind() -> None:
    own = torch.randn(1, 2, 9)
    wide = torch.cat([own, torch.full((1, 2, 4), 7.0)], 2)
    other = Padded.of([torch.randn(2, 5)], [torch.rand(5)])
    batch = together([Padded(wide, torch.tensor([[9]]), torch.ones(1, 13)), other])
    assert batch.values.shape == (2, 2, 9)
    assert torch.equal(batch.values[:1], own)
    assert batch.sizes.tolist() == [[9], [5]]
    assert torch.equal(batch.measure[1, :5], other.measure[0])  # type: ignore[index]
    assert together([own, other]) is None


@pytest.mark.parametrize("pool", [gp.Mean(), gp.Sum()], ids=lambda pool: pool.name)
def test_an_even_measure_is_carried_along(pool: gp.Pool) -> None:
    """A position that counts 3 on a sum counts 3 on a canvas too."""
    clean = of_signals()
    classifier = gp.PooledClassifier(clean.trunk, pool, clean.tail).eval()
    samples = [x.values[0] for x in signals().inputs]
    inputs = tuple(Padded.of([one], [torch.full(one.shape[1:], 3.0)]) for one in samples)
    data = AuditData(inputs, torch.zeros(6, dtype=torch.long), True, tuple("abcdef"))
    finding = PADDING(classifier, data)
    assert finding.verdict == "pass"
    assert finding.measured == pytest.approx(finding.predicted, rel=1e-4, abs=1e-4)
    assert row(finding, 2.0)["with a mask"] < 1e-4
    assert row(finding, 2.0)["input, as padded samples"] < 1e-3
    assert CONSISTENCY(classifier, data).verdict != "not applicable"
    assert "removed at the input" in FAITHFULNESS(classifier, data).tables[-1].title
    x = inputs[0]
    assert torch.equal(classifier(like(x, x.values)), classifier(x))
    assert as_tensor(Padded(x.values, x.sizes, torch.rand(x.measure.shape))) is None  # type: ignore[union-attr]


def test_an_unmasked_padded_batch_is_caught() -> None:
    finding = PADDING(of_signals(Careless), signals())
    assert finding.verdict == "fail"
    assert finding.advice.startswith("A sample's logits hang on its batch")


def test_graphs_are_compared_in_their_own_batches() -> None:
    class Nodes(nn.Module):
        def __init__(self, mixing: bool) -> None:
            super().__init__()
            self.mixing = mixing

        def forward(self, graph: Any) -> Features:
            x = graph.x - graph.x.mean(0) if self.mixing else graph.x
            return Features(x.square(), {"batch": graph.batch, "size": graph.num_graphs})

    random = torch.Generator().manual_seed(0)
    edges = torch.tensor([[0, 1], [1, 0]])
    inputs = tuple(
        Batch.from_data_list([Data(x=torch.randn(3 + number, 4, generator=random), edge_index=edges)])
        for number in range(4)
    )
    data = AuditData(inputs, torch.zeros(4, dtype=torch.long), True, tuple("abcd"))
    for mixing, verdict in ((False, "pass"), (True, "fail")):
        finding = PADDING(gp.PooledClassifier(Nodes(mixing), gp.Mean(), nn.Linear(4, 2)).eval(), data)
        assert finding.verdict == verdict
        assert finding.predicted == 0
        assert [count for count, _ in finding.table.rows] == [2, 4]


def test_a_fixed_size_trunk_says_why_it_is_not_padded() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[2:] != (32, 32):
                raise RuntimeError("position table for 32 x 32")
            return looker().trunk(x)  # type: ignore[no-any-return]

    finding = PADDING(gp.PooledClassifier(Fixed(), gp.Mean(), looker().tail).eval(), objects())
    assert finding.verdict == "pass"
    assert finding.notes[0] == "not padded: position table for 32 x 32"
