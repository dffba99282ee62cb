"""Networks of torch_geometric adopted: same logits, maps equal to loops over nodes, the model left alone."""

import random
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close
from torch_geometric.data import Batch, Data
from torch_geometric.nn import (
    Aggregation,
    LayerNorm,
    SAGPooling,
    Sequential,
    Set2Set,
    TopKPooling,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)
from torch_geometric.nn.aggr import MeanAggregation

import globalpool as gp
from globalpool.errors import AdoptionError
from globalpool.surgery import GraphClassifier, adopt
from tests.evidence.test_no_side_effects import same, state
from tests.surgery.graph_models import (
    CHANNELS,
    CLASSES,
    MODELS,
    WIDTH,
    Attention,
    Basic,
    FromData,
    Mean,
    MeanMax,
    Model,
    brute,
    build,
    end,
    graphs,
    listed,
)

from torch_geometric.nn.models import GIN  # isort: skip


def check(classifier: Any, model: Any, b: Any) -> gp.Evidence:
    """Logits, completeness, chosen classes and brute force, in float64."""
    arguments = model.arguments(b)
    with torch.no_grad():
        logits = model(*arguments)
        assert_close(classifier(*arguments), logits, rtol=1e-12, atol=1e-12)
        evidence: gp.Evidence = classifier.evidence(*arguments, classes="all").check()
        assert_close(evidence.logits, logits, rtol=1e-12, atol=1e-12)
        best = classifier.evidence(*arguments, classes="top2").check()
        assert_close(best.maps, evidence.select(best.classes).maps, rtol=0, atol=1e-12)
        own, tail = model.slow(b)
    layout: Any = evidence.layout
    maps, offset = brute(own, layout.index, tail)
    assert_close(evidence.maps, maps.detach(), rtol=0, atol=1e-11)
    assert_close(evidence.offset, offset.detach(), rtol=0, atol=1e-11)
    assert float(evidence.residual().max()) < 1e-13
    return evidence


@pytest.mark.parametrize("name", MODELS)
def test_every_network_gives_its_logits_and_brute_force_maps(name: str) -> None:
    make, kind, pool = MODELS[name]
    model: Any = build(make)
    b = graphs()
    classifier = adopt(model, model.arguments(b))
    assert isinstance(classifier, GraphClassifier)
    evidence = check(classifier, model, b)
    assert (evidence.kind, classifier.pool.name, classifier.also) == (kind, pool, ())
    assert classifier.affine == (kind == "linear")
    assert classifier.proof is not None
    assert classifier.proof.difference < 1e-12
    assert classifier.proof.residual < 1e-13
    assert len(classifier.proof.inputs) == 2
    assert classifier.proof.inputs[1][0] == 2 * classifier.proof.inputs[0][0]
    check(classifier, model, graphs((2, 5, 1, 3, 8), seed=3))
    check(classifier, model, graphs((3,), seed=4))
    features = classifier.features(*model.arguments(b))
    assert features.shape[0] == evidence.maps.shape[0] == classifier.feature_size(*model.arguments(b))[0]
    if kind == "linear":
        check_counterfactual(classifier, model.arguments(b), evidence)


def check_counterfactual(classifier: Any, arguments: Any, evidence: gp.Evidence) -> None:
    """ "linear" is a promise: zeroing nodes of the features removes exactly their evidence."""
    with torch.no_grad():
        features, layout, pool, tail = classifier.opened(*arguments)
        gone = torch.zeros(len(features), 1, dtype=torch.bool)
        gone[::3] = True
        without = tail(pool(torch.where(gone, 0.0, features), **layout))
    removed = evidence.layout.sum_samples(evidence.maps * gone)
    assert_close(without, evidence.logits - removed, rtol=0, atol=1e-12)
    assert_close(evidence.offset, evidence.offset[:1].expand_as(evidence.offset), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["GCN, mean, linear", "SAGE, mean and maximum", "attention, log-probabilities"])
def test_permuted_nodes_have_permuted_maps(name: str) -> None:
    model: Any = build(MODELS[name][0])
    b = graphs()
    classifier: Any = adopt(model, model.arguments(b))
    order = torch.randperm(b.num_nodes, generator=torch.Generator().manual_seed(5))
    order = order[b.batch[order].argsort(stable=True)]
    moved = b.x[order], order.argsort()[b.edge_index], b.batch
    before = classifier.evidence(b.x, b.edge_index, b.batch, classes="all")
    after = classifier.evidence(*moved, classes="all")
    assert_close(after.maps, before.maps[order], rtol=0, atol=1e-12)
    assert_close(after.logits, before.logits, rtol=0, atol=1e-12)


def test_the_model_is_not_changed() -> None:
    model: Any = build(MODELS["GIN, every layer added, MLP"][0]).train()
    model.head[1].eval()
    seen: list[Any] = []
    model.a.register_forward_hook(lambda *_: seen.append(1))
    b = graphs()
    model(*model.arguments(b)).sum().backward()
    before, numbers, called = state(model), random.getstate(), Aggregation.__call__
    attributes = [dict(vars(module)) for module in model.modules()]
    classifier = adopt(model, model.arguments(b))
    classifier.evidence(*model.arguments(b), classes="all").check()
    assert same(before, state(model))
    assert random.getstate() == numbers
    assert Aggregation.__call__ is called
    for module, kept in zip(model.modules(), attributes, strict=True):
        assert vars(module).keys() == kept.keys()
        assert all(vars(module)[name] is value for name, value in kept.items())
    assert not any(module.training for module in classifier.modules())
    own = {id(parameter) for parameter in model.parameters()} - {id(p) for p in (*model.one.parameters(),)}
    own -= {id(p) for p in (*model.two.parameters(), *model.out.parameters())}  # not used by this model
    assert {id(parameter) for parameter in classifier.parameters()} == own
    classifier.train()
    assert same(before["modes"], state(model)["modes"])
    with pytest.raises(AdoptionError):
        adopt(end(lambda m, x, e, b: x), (b.x, b.edge_index, b.batch))
    assert Aggregation.__call__ is called


def test_the_example_is_not_changed() -> None:
    class Writes(FromData):
        def forward(self, data: Any) -> Any:
            data.x = self.act(self.one(data.x, data.edge_index))
            return self.out(global_add_pool(data.x, data.batch))

    model, b = build(Writes), graphs()
    kept = b.x
    classifier: Any = adopt(model, b)
    assert b.x is kept
    expected = model(b.clone())
    assert_close(classifier(b.clone()), expected, rtol=0, atol=1e-12)


def test_a_copy_is_independent_and_parameters_stay_shared() -> None:
    model: Any = build(MODELS["attention, log-probabilities"][0])
    b = graphs()
    arguments = model.arguments(b)
    classifier: Any = adopt(model, arguments)
    copy = deepcopy(classifier)
    with torch.no_grad():
        before = model(*arguments)
        for parameter in copy.parameters():
            parameter.mul_(1.1)
        copy.evidence(*arguments, classes="all").check()
        assert torch.equal(model(*arguments), before)
        model.read.nn.weight.mul_(0.7)
        model.out.bias.add_(1)
    check(classifier, model, b)


def test_single_graphs_without_a_batch_vector() -> None:
    class Single(Mean):
        def __init__(self) -> None:
            super().__init__()
            self.read = MeanAggregation()

        def forward(self, x: Tensor, edge_index: Tensor) -> Any:  # type: ignore[override]
            x = self.gcn(x, edge_index)
            return self.out((global_mean_pool(x, None) + self.read(x)) / 2)

        def arguments(self, b: Any) -> Any:
            return b.x, b.edge_index

    model: Any = build(Single)
    one = graphs((6,))
    classifier = adopt(model, model.arguments(one))
    check(classifier, model, one)
    check(classifier, model, graphs((1,)))
    data_model: Any = build(FromData)
    data = Data(**graphs((6,)).get_example(0).to_dict())
    assert data.batch is None
    from_data: Any = adopt(data_model, data)
    assert_close(from_data(data), data_model(data), rtol=0, atol=1e-12)
    assert from_data.evidence(data, classes="all").check().maps.shape == (6, CLASSES)
    check(from_data, data_model, graphs())


def test_an_empty_graph_at_the_end_and_in_between() -> None:
    model: Any = build(lambda: Basic(GIN))
    classifier: Any = adopt(model, model.arguments(graphs()))
    b = graphs()
    batch = torch.tensor([0, 0, 2, 4])[b.batch]  # graphs 1 and 3 have no node, nor has 5
    arguments = (b.x, b.edge_index, batch, 6)
    assert_close(classifier(*arguments), model(*arguments), rtol=0, atol=1e-12)
    evidence = classifier.evidence(*arguments, classes="all").check()
    assert evidence.logits.shape == (6, CLASSES)
    assert_close(evidence.offset[1], evidence.logits[1], rtol=0, atol=1e-12)
    assert_close(evidence.layout.sum_samples(evidence.maps)[5], torch.zeros(CLASSES, dtype=torch.float64))


def test_arguments_by_name_and_those_that_were_not_there() -> None:
    model: Any = build(Mean)
    b = graphs()
    weighted = {"x": b.x, "edge_index": b.edge_index, "batch": b.batch, "edge_weight": b.edge_weight}
    for example in (weighted, (b.x, b.edge_index, {"batch": b.batch, "edge_weight": b.edge_weight})):
        classifier: Any = adopt(model, example)
        assert_close(classifier(**weighted), model(**weighted), rtol=0, atol=1e-12)
        assert_close(classifier(b.x, b.edge_index, b.batch, b.edge_weight), model(**weighted), rtol=0, atol=1e-12)
        classifier.evidence(**weighted, classes="all").check()
    plain: Any = adopt(model, model.arguments(b))
    expected = r"expected `edge_weight` to be None, as in the example .* got float64 \(34,\)\. Adopt the model again"
    with pytest.raises(AdoptionError, match=expected):
        plain(**weighted)
    with pytest.raises(AdoptionError, match=r"an example for Mean.forward\(.*got missing a required argument: 'batch'"):
        adopt(model, (b.x, b.edge_index))


def test_pointers_tell_graphs_too() -> None:
    class Pointers(Mean):
        def __init__(self) -> None:
            super().__init__()
            self.read = MeanAggregation()

        def forward(self, x: Tensor, edge_index: Tensor, ptr: Tensor) -> Any:  # type: ignore[override]
            return self.out(self.read(self.gcn(x, edge_index), ptr=ptr))

        def arguments(self, b: Any) -> Any:
            return b.x, b.edge_index, b.ptr

    model: Any = build(Pointers)
    check(adopt(model, model.arguments(graphs())), model, graphs((3, 2, 9)))


def test_a_network_written_as_a_list() -> None:
    model: Any = build(listed)
    other = build(lambda: Sequential("x, batch", [(global_max_pool, "x, batch -> x")]))
    b = graphs()
    forward, numbers = Sequential.forward, random.getstate()
    classifier: Any = adopt(model, (b.x, b.edge_index, b.batch))
    assert Sequential.forward is forward
    assert random.getstate() == numbers
    assert_close(classifier(b.x, b.edge_index, b.batch), model(b.x, b.edge_index, b.batch), rtol=0, atol=1e-12)
    assert classifier.evidence(b.x, b.edge_index, b.batch).check().kind == "linear"
    assert other(b.x, b.batch).shape == (4, CHANNELS)
    assert model[1].inplace


def test_readouts_of_earlier_nodes_are_in_the_offset_and_said() -> None:
    """The usual tutorial of hierarchical pooling reads out every level; nodes of the last one get evidence."""

    class Levels(Model):
        def __init__(self) -> None:
            super().__init__()
            self.pools = nn.ModuleList([TopKPooling(WIDTH, 0.8), SAGPooling(WIDTH, 0.8)])
            self.out = nn.Linear(2 * WIDTH, CLASSES)

        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
            total: Any = 0
            for conv, pool in zip((self.one, self.two), self.pools, strict=True):
                x, edge_index, _, batch, _, _ = pool(self.act(conv(x, edge_index)), edge_index, None, batch)
                total = total + torch.cat([global_max_pool(x, batch), global_mean_pool(x, batch)], 1)
            return self.out(total)

    model, b = build(Levels), graphs()
    classifier: Any = adopt(model, (b.x, b.edge_index, b.batch))
    evidence = classifier.evidence(b.x, b.edge_index, b.batch, classes="all").check()
    assert [text.split()[0] for text in classifier.also] == ["max", "mean"]
    assert evidence.kind == "gated"
    assert len(evidence.maps) < len(b.x)
    assert (evidence.offset != evidence.offset[:1]).any()
    beside = end(
        lambda m, x, e, b: m.out(global_mean_pool(x, b)) + m.other(m.read(x, b)),
        read=Set2Set(WIDTH, 2),
        other=nn.Linear(2 * WIDTH, CLASSES),
    )
    assert adopt(beside, (b.x, b.edge_index, b.batch)).also == ("Set2Set (read)",)


def test_norms_and_activations_in_the_tail_are_held() -> None:
    b = graphs()
    for tail in (
        nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)),
        nn.Sequential(nn.Linear(WIDTH, 7), nn.GELU(), nn.Linear(7, CLASSES)),
        nn.Sequential(nn.ReLU(inplace=True), nn.Linear(WIDTH, 7), nn.Sigmoid(), nn.Linear(7, CLASSES)),
        LayerNorm(WIDTH, mode="node"),
    ):
        model = end(lambda m, x, e, b: m.tail(global_mean_pool(x, b)), tail=tail)
        classifier: Any = adopt(model, (b.x, b.edge_index, b.batch))
        evidence = classifier.evidence(b.x, b.edge_index, b.batch, classes="all").check()
        assert evidence.kind == "gated"
        maps = torch.zeros(len(b.x), evidence.logits.shape[1], dtype=torch.float64)
        features = classifier.features(b.x, b.edge_index, b.batch)
        vectors = classifier.pool(features, batch=b.batch)
        for row, graph in enumerate(b.batch.tolist()):  # the tail's own held rows, pulled back from each class
            held = classifier.tail.hold(vectors[graph : graph + 1].expand(2, -1))
            ids = torch.arange(maps.shape[1]).expand(2, -1)
            tops, _ = held.tops(gp.evidence.pieces.Picked(ids, torch.ones_like(ids, dtype=torch.float64)))
            maps[row] = (held.pull(tops)[0].flatten(1) @ features[row]) / int((b.batch == graph).sum())
        assert_close(evidence.maps, maps, rtol=0, atol=1e-12)


def test_another_pool_in_its_place() -> None:
    model: Any = build(Mean)
    b = graphs()
    classifier: Any = adopt(model, model.arguments(b))
    wider = classifier.with_pool(gp.Concat(gp.Mean(), gp.Max()))
    assert_close(wider(*model.arguments(b)), model(*model.arguments(b)), rtol=0, atol=1e-12)
    assert wider.evidence(*model.arguments(b)).check().kind == "weighted"
    attention: Any = build(Attention)
    with pytest.raises(AdoptionError, match="a pool and a tail that stand by themselves; got Scored with scores from"):
        adopt(attention, attention.arguments(b)).with_pool(gp.Mean())


def test_single_precision_keeps_its_own_tolerance() -> None:
    for make in (Mean, MeanMax, Attention):
        model: Any = build(make).float()
        b = graphs()
        arguments = (b.x.float(), b.edge_index, b.batch)
        classifier: Any = adopt(model, arguments)
        assert_close(classifier(*arguments), model(*arguments), rtol=1e-5, atol=1e-5)
        classifier.evidence(*arguments, classes="all").check()


def test_the_features_are_those_of_the_readout() -> None:
    model: Any = build(MODELS["layers in different ways"][0])
    b = graphs()
    first, second = model.nodes(b.x, b.edge_index)
    features = adopt(model, model.arguments(b)).features(*model.arguments(b))
    assert_close(features, torch.cat([first, second], 1), rtol=0, atol=0)


def test_names_of_arguments_do_not_matter() -> None:
    """Names of arguments that say nothing, and edges that are as many as something else."""

    class Named(Mean):
        def forward(self, a: Tensor, c: Tensor, d: Tensor) -> Any:  # type: ignore[override]
            return self.out(functional.normalize(global_mean_pool(self.gcn(a, c), d)))

    b = Batch.from_data_list([graph for graph in graphs().to_data_list() for _ in range(2)])
    classifier: Any = adopt(build(Named), (b.x, b.edge_index, b.batch))
    assert classifier.proof.inputs == ((30, WIDTH), (60, WIDTH))
    assert classifier.evidence(b.x, b.edge_index, b.batch).check().kind == "gated"
