"""DiffPool and MinCut: the exact values of the theory, and the sums over pairs of nodes written out."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import PoolError

CLIQUES, EACH = 3, 4
NUMBERS = torch.arange(CLIQUES).repeat_interleave(EACH)
ONE_HOT = torch.nn.functional.one_hot(NUMBERS).double()
ALONE = torch.zeros(CLIQUES * EACH, dtype=torch.long)


def cliques(loops: bool) -> Tensor:
    beside = ONE_HOT @ ONE_HOT.T
    return (beside if loops else beside - torch.eye(len(beside))).nonzero().T


def random_graphs(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shares, edges (directed, with loops and repeats), weights and graphs of three graphs, the second empty."""
    random = torch.Generator().manual_seed(seed)
    sizes = (5, 0, 7)
    batch = torch.arange(3).repeat_interleave(torch.tensor(sizes))
    shares = torch.randn(12, 4, generator=random, dtype=torch.float64).softmax(1)
    edges = torch.cat([torch.randint(low, high, (2, 15), generator=random) for low, high in ((0, 5), (5, 12))], dim=1)
    return shares, edges, torch.rand(30, generator=random, dtype=torch.float64), batch


def slow(shares: Tensor, edges: Tensor, weight: Tensor, rows: list[int]) -> dict[str, Any]:
    """One graph with matrices over pairs of nodes, as the papers write them."""
    place = {row: i for i, row in enumerate(rows)}
    a, s = np.zeros((len(rows), len(rows))), shares[rows].numpy()
    for (i, j), w in zip(edges.T.tolist(), weight.tolist(), strict=True):
        if i in place:
            a[place[i], place[j]] += w
    degree = np.diag(a.sum(1))
    square = s.T @ s
    return {
        "link": np.sqrt(((a - s @ s.T) ** 2).sum()),
        "entropy": float(np.mean([-sum(p * math.log(p) for p in row) for row in s])),
        "cut": -np.trace(s.T @ a @ s) / np.trace(s.T @ degree @ s),
        "orthogonality": np.linalg.norm(square / np.linalg.norm(square) - np.eye(4) / 2),
        "adjacency": s.T @ a @ s,
    }


def test_cliques_in_their_own_clusters() -> None:
    """Theory 11: 0 and 0 with self-loops; sqrt(12) = 3.4641 without, since a node is in its own cluster."""
    with_loops = gp.diffpool_losses(ONE_HOT, cliques(True), ALONE)
    assert with_loops.link.tolist() == [0.0]
    assert with_loops.entropy.tolist() == [0.0]
    without = gp.diffpool_losses(ONE_HOT, cliques(False), ALONE)
    assert without.link.item() == pytest.approx(math.sqrt(12), rel=1e-15)
    assert gp.diffpool_losses(torch.full((12, 3), 1 / 3), cliques(True), ALONE).entropy.item() == pytest.approx(
        math.log(3), rel=1e-6
    )


def test_a_cut_of_minus_one_is_reached_by_separate_clusters_and_by_collapse_and_only_orthogonality_tells() -> None:
    separate = gp.mincut_losses(ONE_HOT, cliques(False), ALONE)
    collapsed = gp.mincut_losses(torch.eye(3, dtype=torch.float64)[ALONE], cliques(False), ALONE)
    assert separate.cut.item() == collapsed.cut.item() == -1
    assert separate.orthogonality.item() == pytest.approx(0, abs=1e-8)
    assert collapsed.orthogonality.item() == pytest.approx(math.sqrt(2 - 2 / math.sqrt(3)), rel=1e-14)
    assert round(collapsed.orthogonality.item(), 4) == 0.9194


@pytest.mark.parametrize("seed", range(3))
def test_they_are_the_sums_over_pairs_of_nodes_of_each_graph(seed: int) -> None:
    shares, edges, weight, batch = random_graphs(seed)
    diffpool = gp.diffpool_losses(shares, edges, batch, 3, weight)
    mincut = gp.mincut_losses(shares, edges, batch, 3, weight)
    adjacency = gp.coarsened_adjacency(shares, edges, batch, 3, weight)
    for graph, rows in ((0, list(range(5))), (2, list(range(5, 12)))):
        expected = slow(shares, edges, weight, rows)
        for name, value in (*vars(diffpool).items(), *vars(mincut).items(), ("adjacency", adjacency)):
            assert_close(value[graph], torch.as_tensor(expected[name], dtype=torch.float64), rtol=1e-12, atol=1e-12)
        assert -1 <= mincut.cut[graph] <= 0
    for value in (*vars(diffpool).values(), *vars(mincut).values(), adjacency):
        assert value[1].abs().max() == 0  # the empty graph


def test_edges_are_kept_in_all_and_so_are_the_features() -> None:
    """1'A'1 = 1'A1 and sum_k X'_k = sum_n Z_n (theory 11)."""
    shares, edges, weight, batch = random_graphs(7)
    adjacency = gp.coarsened_adjacency(shares, edges, batch, 3, weight)
    expected = torch.zeros(3, dtype=torch.float64).index_add(0, batch[edges[0]], weight)
    assert_close(adjacency.sum((1, 2)), expected, rtol=0, atol=1e-14)
    x = torch.randn(12, 5, dtype=torch.float64)
    pool = gp.Clusters(gp.Sum(), gp.Sum())
    vectors, masses = pool.clusters(x, batch=batch, size=3, assignment=shares)
    summed = torch.zeros(3, 5, dtype=torch.float64).index_add(0, batch, x)
    assert_close(vectors[:, 0].sum(-1), summed, rtol=0, atol=1e-14)
    assert_close(masses.sum(1), torch.tensor([5.0, 0, 7], dtype=torch.float64))


def test_a_graph_has_the_losses_it_has_alone() -> None:
    shares, edges, weight, batch = random_graphs(1)
    together = gp.diffpool_losses(shares, edges, batch, 3, weight), gp.mincut_losses(shares, edges, batch, 3, weight)
    own = edges[0] >= 5
    arguments = shares[5:], edges[:, own] - 5, ALONE[:7], 1, weight[own]
    alone = gp.diffpool_losses(*arguments), gp.mincut_losses(*arguments)
    for many, one in zip(together, alone, strict=True):
        for name, value in vars(many).items():
            assert_close(value[2:], getattr(one, name), rtol=0, atol=1e-14)


def test_gradients_are_those_of_the_differences_and_finite_at_the_best() -> None:
    shares, edges, weight, batch = random_graphs(2)

    def losses(scores: Tensor) -> Tensor:
        own = scores.softmax(1)
        first, second = gp.diffpool_losses(own, edges, batch, 3, weight), gp.mincut_losses(own, edges, batch, 3, weight)
        return torch.stack([*vars(first).values(), *vars(second).values()])

    assert torch.autograd.gradcheck(losses, shares.log().requires_grad_())
    best = ONE_HOT.clone().requires_grad_()
    first = gp.diffpool_losses(best, cliques(True), ALONE)
    second = gp.mincut_losses(best, cliques(True), ALONE)
    (first.link + first.entropy + second.cut + second.orthogonality).sum().backward()
    assert best.grad is not None
    assert best.grad.isfinite().all()


def test_the_losses_teach_the_planted_clusters() -> None:
    """Two cliques joined by an edge, and random features: MinCut finds them, from every start tried."""
    two = torch.block_diag(torch.ones(6, 6), torch.ones(6, 6)) - torch.eye(12)
    two[5, 6] = two[6, 5] = 1
    edges, batch = two.nonzero().T, ALONE
    for seed in range(3):
        torch.manual_seed(seed)
        pool = gp.LearnedClusters(12, 2)
        optimiser = torch.optim.Adam(pool.parameters(), lr=0.1)
        for _ in range(60):
            optimiser.zero_grad()
            losses = gp.mincut_losses(pool.shares(torch.eye(12), batch=batch), edges, batch)
            (losses.cut + losses.orthogonality).sum().backward()
            optimiser.step()
        found = pool.shares(torch.eye(12), batch=batch).argmax(1)
        assert found.tolist() in ([0] * 6 + [1] * 6, [1] * 6 + [0] * 6)


WRONG: list[tuple[Any, str]] = [
    (
        lambda: gp.mincut_losses(NUMBERS, cliques(True), ALONE),
        "mincut_losses: expected shares (T, K) of K clusters; got",
    ),
    (
        lambda: gp.diffpool_losses(ONE_HOT, cliques(True).T, ALONE),
        "diffpool_losses: expected `edge_index` as integers (2, E); got int64 (48, 2).",
    ),
    (
        lambda: gp.diffpool_losses(ONE_HOT, cliques(True), ALONE[:5]),
        "diffpool_losses: expected `batch` as integers (12,); got int64 (5,).",
    ),
    (
        lambda: gp.coarsened_adjacency(ONE_HOT, torch.tensor([[0], [12]]), ALONE),
        "coarsened_adjacency: expected edges between nodes 0 to 11; got node 12.",
    ),
    (
        lambda: gp.mincut_losses(ONE_HOT, cliques(True), ALONE, edge_weight=torch.ones(3)),
        "mincut_losses: expected `edge_weight` of shape (48,); got float32 (3,).",
    ),
    (
        lambda: gp.mincut_losses(ONE_HOT, torch.tensor([[0], [11]]), NUMBERS),
        "mincut_losses: expected edges within graphs; got one between two graphs. Is `batch` that of these nodes?",
    ),
]


@pytest.mark.parametrize(("build", "message"), WRONG, ids=[case[1][:60] for case in WRONG])
def test_what_does_not_fit_is_refused(build: Any, message: str) -> None:
    with pytest.raises(PoolError, match=re.escape(message)):
        build()
