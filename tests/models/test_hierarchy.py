"""Poolers of PyTorch Geometric on the way to the logits: node weights multiply, and evidence adds up at every level."""

import re
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric.nn import ASAPooling, EdgePooling, GCNConv, GINConv, MemPooling, SAGPooling, TopKPooling

import globalpool as gp
from globalpool.errors import LayoutError
from globalpool.models import Hierarchy, Levels, node_evidence
from tests.models.graph_cases import CHANNELS, batch, settled

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")  # of ASAPooling's own products
WIDTH = 6
POOLERS: dict[str, Any] = {
    "TopK": lambda: [TopKPooling(WIDTH, 0.6)],
    "TopK, doubled": lambda: [TopKPooling(WIDTH, 0.6, multiplier=2.0)],
    "SAG": lambda: [SAGPooling(WIDTH, 0.6)],
    "ASA": lambda: [ASAPooling(WIDTH, 0.6)],
    "ASA with layers inside": lambda: [ASAPooling(WIDTH, 0.6, GNN=GCNConv)],
    "edges": lambda: [EdgePooling(WIDTH)],
    "three in turn": lambda: [EdgePooling(WIDTH), TopKPooling(WIDTH, 0.7), ASAPooling(WIDTH, 0.8)],
}
READOUTS = [
    gp.Mean(), gp.Sum(), gp.Max(), gp.TopK(2), gp.LogMeanExp(1.5), gp.Statistics(eps=0.1),
    gp.Attention(WIDTH, heads=2), gp.LearnedClusters(WIDTH, 2, gp.Sum(), gp.Max()), gp.Concat(gp.Mean(), gp.Max()),
]  # fmt: skip


def classifier(poolers: list[nn.Module], pool: gp.Pool) -> gp.PooledClassifier:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(CHANNELS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
    trunk = Hierarchy(GINConv(inner), nn.ReLU(), *poolers)
    found: gp.PooledClassifier = settled(gp.PooledClassifier(trunk, pool, nn.Linear(pool.out_features(WIDTH), 3)))
    return found


def levels_of(network: gp.PooledClassifier, data: Any) -> Levels:
    assert isinstance(network.trunk, Hierarchy)
    return network.trunk.levels(data)


def matrix(found: Levels) -> Tensor:
    """``(T', T)``: the weights of the last poolings as one matrix."""
    total = torch.eye(len(found.entered), dtype=torch.float64)
    for links in found.held:
        total = links.dense() @ total
    return total


def brute(network: gp.PooledClassifier, data: Any) -> Tensor:
    """``(T, K)``: what each entered node gave, as a loop over nodes left, regions and channels."""
    found = levels_of(network, data)
    weights = network.pool.decompose(found.x, batch=found.batch, size=found.size).weights
    held, rows = matrix(found), cast(Tensor, network.tail.weight).reshape(3, network.pool.regions, WIDTH)
    maps = torch.zeros(len(found.entered), 3, dtype=torch.float64)
    for p in range(len(found.entered)):
        for j in range(len(found.x)):
            if held[j, p] == 0:
                continue
            a = weights[j].expand(network.pool.regions, WIDTH)
            maps[p] += held[j, p] * (rows * (a * found.entered[p])).sum((1, 2))
    return maps


@pytest.mark.parametrize("poolers", POOLERS)
@pytest.mark.parametrize("pool", READOUTS, ids=lambda pool: pool.name)
def test_evidence_of_nodes_multiplies_through_and_adds_up(poolers: str, pool: gp.Pool) -> None:
    network, data = classifier(POOLERS[poolers](), pool), batch()
    left = network.evidence(data, "all").check()
    nodes = node_evidence(network, data, "all").check()
    assert_close(nodes.logits, network(data), rtol=0, atol=1e-12)
    assert_close(left.logits, nodes.logits, rtol=0, atol=1e-12)
    with torch.no_grad():
        assert_close(nodes.maps, brute(network, data), rtol=1e-10, atol=1e-12)
    # Every level has the same evidence in all: what the nodes gave is what the nodes left gave.
    graphs = torch.zeros(4, 3, dtype=torch.float64)
    assert_close(graphs.index_add(0, data.batch, nodes.maps), left.layout.sum_samples(left.maps), rtol=0, atol=1e-12)
    assert nodes.maps.shape == (20, 3)
    assert left.maps.shape[0] < 20


@pytest.mark.parametrize("poolers", POOLERS)
def test_the_held_weights_are_what_the_pooler_did(poolers: str) -> None:
    found = levels_of(classifier(POOLERS[poolers](), gp.Mean()), batch())
    assert_close(matrix(found) @ found.entered, found.x, rtol=1e-12, atol=1e-12)
    assert (found.batch.diff() >= 0).all()
    assert len(found.x) < len(found.entered) == 20


def test_layers_between_poolings_keep_evidence_at_the_level_they_reach() -> None:
    torch.manual_seed(1)
    steps = [GCNConv(CHANNELS, WIDTH), nn.ReLU(), EdgePooling(WIDTH), GCNConv(WIDTH, WIDTH), nn.ReLU(),
             TopKPooling(WIDTH, 0.7)]  # fmt: skip
    network = settled(gp.PooledClassifier(Hierarchy(*steps), gp.Mean(), nn.Linear(WIDTH, 3)))
    data = batch()
    nodes, found = node_evidence(network, data, "all").check(), levels_of(network, data)
    assert len(found.x) < len(found.entered) == len(nodes.maps) < 20
    origin = found.before[0].dense() != 0
    assert len(found.before) == len(found.held) == 1
    assert origin.shape == (len(found.entered), 20)
    assert (origin.sum(0) == 1).all()  # each node is in one merged node
    own = found.spread(nodes.maps)
    for row in range(20):
        merged = int(origin[:, row].int().argmax())
        assert_close(own[row], nodes.maps[merged] / origin[merged].sum())


def test_nodes_that_were_dropped_have_no_evidence() -> None:
    network, data = classifier([TopKPooling(WIDTH, 0.5)], gp.Sum()), batch()
    found, nodes = levels_of(network, data), node_evidence(network, data, "all")
    dropped = matrix(found).abs().sum(0) == 0
    assert dropped.any()
    assert nodes.maps[dropped].abs().max() == 0
    assert (nodes.maps[~dropped].abs().amax(1) > 0).all()


def test_graphs_do_not_know_their_batch() -> None:
    for poolers in POOLERS:
        network = classifier(POOLERS[poolers](), gp.Mean())
        alone = torch.cat([network(one) for one in batch().to_data_list()])
        assert_close(network(batch()), alone, rtol=0, atol=1e-12)


def test_what_cannot_be_held_is_refused() -> None:
    message = (
        "Hierarchy: expected poolers whose weights can be held; got MemPooling. TopKPooling, SAGPooling, ASAPooling"
    )
    with pytest.raises(LayoutError, match=re.escape(message)):
        Hierarchy(MemPooling(WIDTH, WIDTH, 2, 2))
    network = gp.models.gin(CHANNELS).double()
    message = (
        "node_evidence: expected a classifier whose trunk is a Hierarchy; got GraphTrunk. Others have one level of"
    )
    with pytest.raises(LayoutError, match=re.escape(message)):
        node_evidence(network, batch())
