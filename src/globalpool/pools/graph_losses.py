"""Losses that teach clusters of graph nodes to follow the edges, and the adjacency that the clusters have."""

from dataclasses import dataclass

import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.layout.check import INTEGERS, describe, require


@dataclass(frozen=True, eq=False)
class DiffPoolLosses:
    """One number a graph, ``(N,)``: ``link``, ``||A - S S'||_F``; ``entropy``, mean entropy of a node, in nats."""

    link: Tensor
    entropy: Tensor


@dataclass(frozen=True, eq=False)
class MinCutLosses:
    """One number a graph, ``(N,)``.

    ``cut`` in [-1, 0]: ``-tr(S'AS) / tr(S'DS)``; one cluster for all nodes reaches -1 too, and only ``orthogonality``,
    ``||S'S / ||S'S||_F - I / sqrt(K)||_F``, tells it from separate ones.
    """

    cut: Tensor
    orthogonality: Tensor


@dataclass(frozen=True, eq=False)
class _Clustered:
    """Sums over the nodes and edges of each graph, in float64: the losses are differences of large, equal terms.

    ``adjacency (N, K, K)`` is S'AS, ``overlap (N, K, K)`` S'S, ``held (N,)`` tr(S'DS), ``weight (N,)`` sum A_ij^2.
    """

    adjacency: Tensor
    overlap: Tensor
    held: Tensor
    weight: Tensor
    nodes: Tensor


def diffpool_losses(
    shares: Tensor, edge_index: Tensor, batch: Tensor, size: int | None = None, edge_weight: Tensor | None = None
) -> DiffPoolLosses:
    """Whether nodes that share a cluster are linked, and whether each node is in one cluster.

    ``shares (T, K)``: rows that sum to 1, as from ``LearnedClusters.shares``; ``edge_index (2, E)`` with both
    directions of an edge, weights ``(E,)`` or 1 (an edge named twice counts twice); ``batch (T,)`` the graph of each
    node, ``size`` their number. Graphs without nodes have 0. A node is in its own cluster: without self-loops ``link``
    is at least ``sqrt(n)`` for hard clusters.
    Ying et al., DiffPool (2018), section 3.3, equations 5 and 6: neither divided by the number of pairs nor taken over
    a padded batch; average over graphs as you like.
    """
    known = _clustered("diffpool_losses", shares, edge_index, batch, size, edge_weight)
    crossed = known.adjacency.diagonal(dim1=1, dim2=2).sum(1)
    link = _root(known.weight - 2 * crossed + known.overlap.square().sum((1, 2)))
    rows = shares.double()
    # At 0 the term s log(s) is 0, its gradient through the logarithm infinite.
    chaos = -(rows * torch.where(rows > 0, rows, 1).log()).sum(1)
    total = known.nodes.new_zeros(known.nodes.shape).index_add(0, batch, chaos)
    entropy = total / torch.where(known.nodes > 0, known.nodes, 1)
    return DiffPoolLosses(link.to(shares.dtype), entropy.to(shares.dtype))


def mincut_losses(
    shares: Tensor, edge_index: Tensor, batch: Tensor, size: int | None = None, edge_weight: Tensor | None = None
) -> MinCutLosses:
    """Whether few edges run between clusters, and whether the clusters are separate and of like size.

    Arguments as in ``diffpool_losses``. The paper takes ``A`` with weights ``1 / sqrt(d_i d_j)``: give them as
    ``edge_weight`` where you want that. Graphs without edges have ``cut`` 0, graphs without nodes 0 in both.
    Bianchi, Grattarola, Alippi, MinCutPool (2020), section 3.2, equation 5.
    """
    known = _clustered("mincut_losses", shares, edge_index, batch, size, edge_weight)
    inside = known.adjacency.diagonal(dim1=1, dim2=2).sum(1)
    cut = -inside / torch.where(known.held > 0, known.held, 1)
    length = _root(known.overlap.square().sum((1, 2)))[:, None, None]
    count = shares.shape[1]
    even = torch.eye(count, dtype=torch.float64, device=shares.device) / count**0.5
    away = _root((known.overlap / torch.where(length > 0, length, 1) - even).square().sum((1, 2)))
    return MinCutLosses(cut.to(shares.dtype), torch.where(known.nodes > 0, away, 0).to(shares.dtype))


def coarsened_adjacency(
    shares: Tensor, edge_index: Tensor, batch: Tensor, size: int | None = None, edge_weight: Tensor | None = None
) -> Tensor:
    """``A' = S'AS (N, K, K)`` of each graph: how much edge runs between its clusters, in all as much as before.

    Arguments as in ``diffpool_losses``. Ying et al. (2018), equation 4; its features are ``Clusters(Sum(), ...)``.
    """
    return _clustered("coarsened_adjacency", shares, edge_index, batch, size, edge_weight).adjacency.to(shares.dtype)


def _clustered(
    where: str, shares: Tensor, edge_index: Tensor, batch: Tensor, size: int | None, edge_weight: Tensor | None
) -> _Clustered:
    _check(where, shares, edge_index, batch, edge_weight)
    samples = (int(batch.max()) + 1 if batch.numel() else 0) if size is None else size
    rows = shares.double()
    given = rows.new_ones(edge_index.shape[1]) if edge_weight is None else edge_weight.double()
    edges, place = torch.unique(edge_index, dim=1, return_inverse=True)
    weight = given.new_zeros(edges.shape[1]).index_add(0, place, given)
    beside = torch.zeros_like(rows).index_add(0, edges[0], weight[:, None] * rows[edges[1]])  # AS
    degree = given.new_zeros(rows.shape[0]).index_add(0, edges[0], weight)

    def summed(values: Tensor, of: Tensor) -> Tensor:
        return values.new_zeros(samples, *values.shape[1:]).index_add(0, of, values)

    return _Clustered(
        adjacency=summed(rows[:, :, None] * beside[:, None], batch),
        overlap=summed(rows[:, :, None] * rows[:, None], batch),
        held=summed(degree * rows.square().sum(1), batch),
        weight=summed(weight.square(), batch[edges[0]]),
        nodes=summed(rows.new_ones(rows.shape[0]), batch),
    )


def _check(where: str, shares: Tensor, edge_index: Tensor, batch: Tensor, edge_weight: Tensor | None) -> None:
    if shares.ndim != 2 or not shares.is_floating_point():
        raise PoolError(where, "shares (T, K) of K clusters", describe(shares), "Pass pool.shares(x, batch=batch).")
    if edge_index.ndim != 2 or edge_index.shape[0] != 2 or edge_index.dtype not in INTEGERS:
        raise PoolError(where, "`edge_index` as integers (2, E)", describe(edge_index))
    if batch.shape != shares.shape[:1] or batch.dtype not in INTEGERS:
        raise PoolError(where, f"`batch` as integers ({shares.shape[0]},)", describe(batch))
    if edge_weight is not None and edge_weight.shape != edge_index.shape[1:]:
        raise PoolError(where, f"`edge_weight` of shape ({edge_index.shape[1]},)", describe(edge_weight))
    nodes = shares.shape[0]
    require(
        ((edge_index >= 0) & (edge_index < nodes)).all(),
        lambda: PoolError(where, f"edges between nodes 0 to {nodes - 1}", f"node {_furthest(edge_index, nodes)}"),
    )
    require(
        (batch[edge_index[0]] == batch[edge_index[1]]).all(),
        lambda: PoolError(where, "edges within graphs", "one between two graphs", "Is `batch` that of these nodes?"),
    )


def _furthest(edge_index: Tensor, nodes: int) -> int:
    return int(edge_index.min()) if bool((edge_index < 0).any()) else int(edge_index.max())


def _root(square: Tensor) -> Tensor:
    """The root with gradient 0 at 0, as ``torch.linalg.norm`` has; what rounding left below 0 counts as 0."""
    return torch.where(square > 0, torch.where(square > 0, square, 1).sqrt(), 0)
