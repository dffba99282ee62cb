"""The node poolers of PyTorch Geometric as what they do to features: held weights from old nodes to new ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from globalpool.extras import need


@dataclass(frozen=True, eq=False)
class Links:
    """A sparse matrix ``(height, width)`` from old nodes (columns) to new ones (rows): ``values (E,)`` at places."""

    rows: Tensor
    columns: Tensor
    values: Tensor
    height: int
    width: int

    def up(self, x: Tensor) -> Tensor:
        """The matrix times ``(width, ...)``."""
        parts = self.values.to(x.dtype).reshape(-1, *(1 for _ in x.shape[1:])) * x[self.columns]
        return parts.new_zeros(self.height, *x.shape[1:]).index_add(0, self.rows, parts)

    def down(self, x: Tensor) -> Tensor:
        """Its transpose times ``(height, ...)``."""
        return Links(self.columns, self.rows, self.values, self.width, self.height).up(x)

    def shared(self) -> "Links":
        """The same places, each new node sharing one equally among its old ones."""
        count = torch.zeros(self.height, device=self.rows.device).index_add(
            0, self.rows, torch.ones_like(self.values).float()
        )
        return Links(self.rows, self.columns, 1 / count[self.rows], self.height, self.width)

    def dense(self) -> Tensor:
        """``(height, width)``."""
        full = self.values.new_zeros(self.height * self.width)
        return full.index_add(0, self.rows * self.width + self.columns, self.values).reshape(self.height, self.width)


@dataclass(frozen=True, eq=False)
class Coarsening:
    """The new nodes: ``x (T', C)``, ``edge_index``, sorted ``batch (T',)``; ``x == links.up(old x)`` in eval mode."""

    x: Tensor
    edge_index: Tensor
    batch: Tensor
    links: Links


def is_pooler(step: nn.Module) -> bool:
    """Whether the weights of a pooler can be held."""
    return type(step).__module__.startswith("torch_geometric.nn.pool") and type(step).__name__ in _WEIGHTS


def coarsen(pooler: Any, x: Tensor, edge_index: Tensor, batch: Tensor) -> Coarsening:
    """A pooler's own result, its nodes in the order of their graphs, and its weights."""
    # Without weights of its own ASAPooling makes them in float32, whatever the features are.
    weighted = {"edge_weight": x.new_ones(edge_index.shape[1])} if type(pooler).__name__ == "ASAPooling" else {}
    out = pooler(x, edge_index, batch=batch, **weighted)
    links = _WEIGHTS[type(pooler).__name__](pooler, x, edge_index, out)
    own = out[2] if type(pooler).__name__ == "EdgePooling" else out[3]
    own, order = own.sort(stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    links = Links(place[links.rows], links.columns, links.values, links.height, links.width)
    return Coarsening(out[0][order], place[out[1]], own, links)


def _selected(pooler: Any, x: Tensor, edge_index: Tensor, out: Any) -> Links:
    """Gao, Ji, Graph U-Nets (2019); Lee, Lee, Kang, SAGPool (2019): nodes by score, times their score."""
    kept, score = out[4], out[5].reshape(-1) * pooler.multiplier
    return Links(torch.arange(len(kept), device=x.device), kept, score, len(kept), len(x))


def _merged(pooler: Any, x: Tensor, edge_index: Tensor, out: Any) -> Links:
    """Diehl, edge contraction pooling (2019): sums of merged nodes, times the score of their edge."""
    new, score = out[3].cluster, out[3].new_edge_score
    return Links(new, torch.arange(len(x), device=x.device), score[new], len(out[0]), len(x))


def _attended(pooler: Any, x: Tensor, edge_index: Tensor, out: Any) -> Links:
    """Ranjan, Sanyal, Talukdar, ASAP (2020), equations 5 to 9: attention in a neighbourhood, times its fitness."""
    utils = need("torch_geometric.utils", "graphs", "Hierarchy")
    edges, _ = utils.add_remaining_self_loops(edge_index, num_nodes=len(x))
    source, target = edges
    inner = x if pooler.gnn_intra_cluster is None else pooler.gnn_intra_cluster(x=x, edge_index=edges)
    master = pooler.lin(utils.scatter(inner[source], target, 0, len(x), reduce="max"))
    score = pooler.att(torch.cat([master[target], inner[source]], 1)).reshape(-1)
    score = utils.softmax(nn.functional.leaky_relu(score, pooler.negative_slope), target, num_nodes=len(x))
    local = utils.scatter(x[source] * score[:, None], target, 0, len(x), reduce="sum")
    fitness = pooler.gnn_score(local, edges).sigmoid().reshape(-1)
    new = torch.full((len(x),), -1, device=x.device)
    new[out[4]] = torch.arange(len(out[4]), device=x.device)
    kept = new[target] >= 0
    return Links(new[target][kept], source[kept], (score * fitness[target])[kept], len(out[4]), len(x))


_WEIGHTS: dict[str, Callable[[Any, Tensor, Tensor, Any], Links]] = {
    "TopKPooling": _selected,
    "SAGPooling": _selected,
    "ASAPooling": _attended,
    "EdgePooling": _merged,
}
