"""Graph networks and their readouts: what permutation, company, copies and constants do to the logits."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv, GINConv, aggr, global_add_pool, global_max_pool, global_mean_pool

import globalpool as gp
from globalpool.errors import LayoutError
from globalpool.models import gcn, gin
from globalpool.models.aggregation import PoolAggregation
from tests.evidence.brute import brute_maps
from tests.models.graph_cases import CHANNELS, batch, graph, settled

WIDTHS = (6, 4)
POOLS = [
    pool
    for kind in gp.pools.ALL
    if not (pool := kind.examples(sum(WIDTHS), 1)[0]).needs_geometry and not pool.needs_assignment
]


def network(make: Any, pool: gp.Pool) -> gp.PooledClassifier:
    torch.manual_seed(0)
    found: gp.PooledClassifier = settled(make(CHANNELS, 3, WIDTHS, pool))
    return found


def shuffled(data: Any, seed: int) -> Any:
    order = torch.randperm(data.num_nodes, generator=torch.Generator().manual_seed(seed))
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    edges = place[data.edge_index]
    return Data(x=data.x[order], edge_index=edges[:, torch.randperm(edges.shape[1])], num_nodes=len(order)), order


@pytest.mark.parametrize("make", [gin, gcn])
@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
def test_the_order_of_nodes_and_the_company_of_graphs_do_not_matter(make: Any, pool: gp.Pool) -> None:
    classifier, data = network(make, pool), batch((6, 1, 0, 9, 0))
    logits, evidence = classifier(data), classifier.evidence(data, "all").check()
    graphs = data.to_data_list()
    for place, one in enumerate(graphs):
        assert_close(classifier(one), logits[place : place + 1], rtol=0, atol=1e-12)
        if one.num_nodes:
            other, order = shuffled(one, place)
            assert_close(classifier(other), logits[place : place + 1], rtol=0, atol=1e-12)
            own = classifier.evidence(other, "all").maps
            assert_close(own, evidence.maps[data.batch == place][order], rtol=0, atol=1e-12)
    assert_close(classifier(Batch.from_data_list(graphs[::-1])), logits.flip(0), rtol=0, atol=1e-12)
    assert logits[2].isfinite().all()  # the graph without nodes
    assert_close(logits[2], logits[4], rtol=0, atol=0)


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
def test_evidence_of_nodes_is_what_a_loop_over_them_finds(pool: gp.Pool) -> None:
    classifier, data = network(gin, pool), batch((6, 1, 0, 9))
    evidence, x = classifier.evidence(data, "all").check(), classifier.features(data)
    head = gp.PooledHead(classifier.pool, classifier.pool.out_features(sum(WIDTHS)), 3).double()
    head.tail = classifier.tail  # type: ignore[assignment]
    weights = classifier.pool.decompose(x, batch=data.batch, size=4).weights
    assert_close(evidence.maps, brute_maps(head, x, evidence, weights), rtol=1e-10, atol=1e-12)


def test_a_graph_beside_its_copy_keeps_the_mean_and_doubles_the_sum() -> None:
    one = graph(7, 3)
    both = Batch.from_data_list([one, one])
    two = Data(x=both.x, edge_index=both.edge_index, num_nodes=14)
    for make in (gin, gcn):
        for pool, factor in ((gp.Mean(), 1), (gp.Sum(), 2), (gp.Max(), 1), (gp.ScaledSum(0.5), 2**0.5)):
            classifier = network(make, pool)
            assert_close(classifier.pooled(two), factor * classifier.pooled(one), rtol=1e-13, atol=0)


def test_with_constant_features_a_mean_of_means_is_the_same_for_every_graph_and_a_sum_is_not() -> None:
    """Theory 11: half of two balanced classes by chance (Xu et al.: 50.0 +- 0.0 on REDDIT-BINARY)."""
    graphs = [graph(nodes, nodes) for nodes in (2, 5, 9, 14)]
    data = Batch.from_data_list([Data(x=torch.ones(len(g.x), 1).double(), edge_index=g.edge_index) for g in graphs])

    def spread(aggregation: str, pool: gp.Pool) -> float:
        torch.manual_seed(0)
        inner = [nn.Sequential(nn.Linear(width, 8), nn.ReLU()) for width in (1, 8)]
        trunk = gp.models.GraphTrunk([GINConv(one, aggr=aggregation) for one in inner], (8, 8))
        vectors = settled(gp.PooledClassifier(trunk, pool, nn.Identity()))(data)
        return float((vectors - vectors[:1]).detach().abs().max())

    assert spread("mean", gp.Mean()) < 1e-14
    assert spread("mean", gp.Max()) < 1e-14
    assert spread("mean", gp.Sum()) > 0.1
    assert spread("sum", gp.Mean()) > 0.1  # the sum over neighbours is their number


def test_a_pool_replaces_a_readout_and_an_aggregation_of_torch_geometric() -> None:
    data = batch((6, 1, 9, 4))
    readouts: list[tuple[Any, Any, gp.Pool]] = [
        (global_mean_pool, aggr.MeanAggregation(), gp.Mean()),
        (global_add_pool, aggr.SumAggregation(), gp.Sum()),
        (global_max_pool, aggr.MaxAggregation(), gp.Max()),
    ]
    for function, module, pool in readouts:
        expected = function(data.x, data.batch, 5)
        assert_close(pool(data.x, batch=data.batch, size=5), expected, rtol=1e-14, atol=1e-14)
        assert_close(PoolAggregation(pool)(data.x, data.batch, dim_size=5), expected, rtol=1e-14, atol=1e-14)
        assert_close(PoolAggregation(pool)(data.x, ptr=data.ptr), module(data.x, ptr=data.ptr), rtol=1e-14, atol=1e-14)
        assert_close(PoolAggregation(pool)(data.x), pool(data.x, ptr=torch.tensor([0, 20])), rtol=0, atol=0)
        # Inside a convolution rows are edges in any order, and nodes without neighbours give zeros.
        torch.manual_seed(0)
        ours, theirs = (GCNConv(CHANNELS, 4, aggr=way).double() for way in (PoolAggregation(pool), module))
        ours.load_state_dict(theirs.state_dict())
        edges = data.edge_index[:, torch.randperm(data.edge_index.shape[1])]
        assert_close(ours(data.x, edges), theirs(data.x, edges), rtol=1e-13, atol=1e-14)


def test_any_pool_aggregates_and_learns_in_a_convolution() -> None:
    torch.manual_seed(0)
    pool = PoolAggregation(gp.Attention(CHANNELS))
    convolution = GINConv(nn.Linear(CHANNELS, 4), aggr=pool).double()
    data = batch((6, 9))
    out: Tensor = convolution(data.x, data.edge_index)
    out.square().sum().backward()
    assert isinstance(pool.pool.content, nn.Linear)
    assert pool.pool.content.weight.grad is not None
    before = pool.pool.content.weight.clone()
    convolution.reset_parameters()
    assert (pool.pool.content.weight != before).any()


def test_a_model_that_reads_out_by_an_adapted_pool_is_adopted() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.tail = GCNConv(CHANNELS, 6), nn.Linear(6, 3)
            self.readout = PoolAggregation(gp.SoftmaxPool())

        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
            read: Tensor = self.tail(self.readout(self.convolution(x, edge_index).relu(), batch))
            return read

    data = batch((6, 1, 9))
    classifier = gp.adopt(Model().double().eval(), (data.x, data.edge_index, data.batch))
    assert isinstance(classifier.pool, gp.SoftmaxPool)
    classifier.evidence(data.x, data.edge_index, data.batch, classes="all").check()


def test_given_and_learned_clusters_read_out_graphs() -> None:
    data = batch((6, 1, 9))
    number = torch.tensor([0, 0, 1, 1, 1, 2, 0, *[0] * 4, *[3] * 5])
    classifier = network(gin, gp.Clusters(gp.Mean(), gp.Max()))
    classifier.evidence(data, "all", assignment=number).check()
    same = classifier(data, assignment=torch.zeros(16, dtype=torch.long))
    assert_close(same, network(gin, gp.Mean())(data), rtol=0, atol=1e-13)
    learned = network(gin, gp.LearnedClusters(sum(WIDTHS), 3, gp.Sum(), gp.Sum()))
    assert_close(learned(data), network_like(learned, gp.Sum())(data), rtol=0, atol=1e-12)


def network_like(classifier: gp.PooledClassifier, pool: gp.Pool) -> gp.PooledClassifier:
    return gp.PooledClassifier(classifier.trunk, pool, classifier.tail).eval()


def test_wrong_inputs_are_told() -> None:
    message = (
        "GraphTrunk: expected graphs whose nodes have features, data.x (T, C); got none. Where nodes have no features,"
    )
    with pytest.raises(LayoutError, match=re.escape(message)):
        gin(CHANNELS)(Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=3))
    message = "PoolAggregation: expected rows (T, C) aggregated along their first axis; got (2, 3, 4) along axis -2."
    with pytest.raises(LayoutError, match=re.escape(message)):
        PoolAggregation(gp.Mean())(torch.zeros(2, 3, 4))
