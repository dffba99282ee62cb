"""Evidence of clusters: the sums of their positions', and a level of its own where the maths leaves a rest."""

import re

import pytest
import torch
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import EvidenceError
from globalpool.evidence import cluster_evidence
from tests.pools.columns import noise

BATCH = torch.tensor([0] * 5 + [2] * 7)
NUMBER = torch.tensor([0, 0, 1, 1, 1, 0, 1, 1, 2, 2, 2, 2])
ROUTES = [
    gp.Clusters(),
    gp.Clusters(gp.Sum(), gp.Max()),
    gp.Clusters(gp.Max(), gp.Mean(), weighting="mass"),
    gp.Clusters(gp.Mean(), gp.SoftmaxPool()),
    gp.Clusters(gp.Concat(gp.Mean(), gp.Max()), gp.Concat(gp.Sum(), gp.TopK(2))),
]


@pytest.mark.parametrize("pool", ROUTES, ids=str)
def test_a_cluster_has_the_evidence_of_its_nodes(pool: gp.Pool) -> None:
    x, layout = noise(12, 4), {"batch": BATCH, "size": 4, "assignment": NUMBER}
    head = gp.PooledHead(pool, pool.out_features(4), 3).double()
    nodes = head.evidence(x, "all", **layout).check()  # type: ignore[arg-type]
    clusters = cluster_evidence(head.pool, head.tail, x, "all", **layout).check()  # type: ignore[arg-type]
    assert_close(clusters.logits, nodes.logits, rtol=0, atol=1e-13)
    expected = torch.zeros(4, 3, 3, dtype=torch.float64)
    for row, (graph, number) in enumerate(zip(BATCH.tolist(), NUMBER.tolist(), strict=True)):
        expected[graph, :, number] += nodes.maps[row]
    assert_close(clusters.maps, expected, rtol=0, atol=1e-13)
    assert clusters.maps[[1, 3]].abs().max() == 0  # graphs without nodes


def test_a_remainder_inside_belongs_to_its_cluster() -> None:
    x, layout = noise(12, 4), {"batch": BATCH, "size": 3, "assignment": NUMBER}
    head = gp.PooledHead(gp.Clusters(gp.LogMeanExp(2.0), gp.Mean()), 4, 3).double()
    nodes = head.evidence(x, "all", **layout).check()  # type: ignore[arg-type]
    clusters = cluster_evidence(head.pool, head.tail, x, "all", **layout).check()  # type: ignore[arg-type]
    assert clusters.kind == "linear"
    assert nodes.kind == "weighted"
    rest = clusters.maps.sum(-1) - torch.zeros(3, 3, dtype=torch.float64).index_add(0, BATCH, nodes.maps)
    assert_close(rest, nodes.offset - clusters.offset, rtol=0, atol=1e-13)
    assert rest.abs().max() > 1e-3


def test_learned_clusters_take_what_shares_them() -> None:
    """A cluster of shares has the sum over nodes of a[g] s[p, g] x[p] through the tail, by hand."""
    torch.manual_seed(0)
    x, pool = noise(12, 4), gp.LearnedClusters(4, 3, gp.Sum(), gp.Mean()).double()
    head = gp.PooledHead(pool, 4, 2).double()
    clusters = cluster_evidence(pool, head.tail, x, "all", batch=BATCH, size=3).check()
    shares = pool.shares(x, batch=BATCH, size=3)
    for graph in (0, 2):
        for g in range(3):
            own = [shares[row, g] * (head.tail.weight @ x[row]) / 3 for row in range(12) if BATCH[row] == graph]
            assert_close(clusters.maps[graph, :, g], torch.stack(own).sum(0), rtol=0, atol=1e-13)


def test_other_pools_have_no_clusters() -> None:
    head = gp.PooledHead(gp.Mean(), 4, 2).double()
    message = "cluster_evidence: expected a pool of clusters, Clusters or LearnedClusters; got Mean."
    with pytest.raises(EvidenceError, match=re.escape(message)):
        cluster_evidence(head.pool, head.tail, noise(12, 4), batch=BATCH)
