"""Other batches of graphs made from an example: the same once more, nodes permuted, features in another order."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from globalpool.extras import need

#: The example's graphs and the same again with nodes permuted and floating features turned around; without the
#: turning; without the permuting; or no more graphs than before, with nodes permuted.
Change = Literal["turned", "permuted", "repeated", "same size"]
CHANGES: tuple[Change, ...] = ("turned", "permuted", "repeated", "same size")


def is_data(value: object) -> bool:
    """Whether the value is a graph or a batch of torch_geometric, which is not imported for the question."""
    return any(kind.__module__.startswith("torch_geometric.data") for kind in type(value).__mro__)


def fresh(values: Sequence[Any]) -> list[Any]:
    """The inputs again, batches as shallow copies: some models write into the batch they are given."""
    return [copy(value) if is_data(value) else value for value in values]


def more_graphs(values: Sequence[Any], batch: int | None, samples: int, change: Change) -> list[Any]:
    """Inputs with other graphs than those of the example, in the way that ``change`` says.

    ``batch``: which of the inputs says the graph of each node, where that is known; ``samples``: how many there are.
    """
    if any(is_data(value) for value in values):
        return [_more_data(value, change) if is_data(value) else value for value in values]
    edges = [value for value in values if _is_edges(value)]
    matrices = [value for value in values if isinstance(value, Tensor) and value.ndim and not _is_edges(value)]
    nodes = matrices[0].shape[0] if matrices else 0
    if batch is None:
        batch = next((i for i, value in enumerate(values) if _is_batch(value, nodes, samples)), None)
    index = None if batch is None else values[batch]
    nodes = nodes if index is None else len(index)
    order = _order(nodes, change)
    if index is not None:
        order = order.to(index.device)
        order = order[index[order].argsort(stable=True)]
    again = _Again(nodes, edges[0].shape[1] if edges else -1, samples, order, change)
    return [again.of(value, place == batch) for place, value in enumerate(values)]


@dataclass(frozen=True, eq=False)
class _Again:
    """The second half of an input of one of the sizes; the first half stays, unless ``change`` is "same size"."""

    nodes: int
    edges: int
    samples: int
    order: Tensor
    change: Change

    def of(self, value: Any, is_batch: bool) -> Any:
        double = self.change != "same size"
        if isinstance(value, int):
            return 2 * value if value == self.samples and double else value
        if not isinstance(value, Tensor) or not value.ndim:
            return value
        second, shift = self._second(value, is_batch), self._shift(value, is_batch)
        return (
            value if second is None else torch.cat([value, second + shift], int(_is_edges(value))) if double else second
        )

    def _second(self, value: Tensor, is_batch: bool) -> Tensor | None:
        if _is_edges(value):
            return self.order.argsort().to(value.device)[value]
        if is_batch or (value.shape[0] in (self.edges, self.samples) and value.shape[0] != self.nodes):
            return value
        if self._is_pointers(value):
            return value[1:] if self.change != "same size" else value
        return _turned(value[self.order.to(value.device)], self.change) if value.shape[0] == self.nodes else None

    def _shift(self, value: Tensor, is_batch: bool) -> int:
        return self.samples if is_batch else self.nodes if _is_edges(value) or self._is_pointers(value) else 0

    def _is_pointers(self, value: Tensor) -> bool:
        known = value.ndim == 1 and not value.is_floating_point() and len(value) == self.samples + 1
        return known and int(value[0]) == 0 and int(value[-1]) == self.nodes


def _order(nodes: int, change: Change) -> Tensor:
    if change == "repeated":
        return torch.arange(nodes)
    return torch.randperm(nodes, generator=torch.Generator().manual_seed(0))


def _is_edges(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 2 and value.shape[0] == 2 and not value.is_floating_point()


def _is_batch(value: object, nodes: int, samples: int) -> bool:
    if not isinstance(value, Tensor) or value.shape != (nodes,) or value.is_floating_point() or not nodes:
        return False
    return bool((value.diff() >= 0).all()) and int(value[0]) >= 0 and int(value[-1]) == samples - 1


def _turned(value: Tensor, change: Change) -> Tensor:
    return value.flip(-1) if change == "turned" and value.is_floating_point() and value.ndim > 1 else value


def _more_data(data: Any, change: Change) -> Any:
    kind: Any = need("torch_geometric.data", "graphs", "adopt").Batch
    graphs = data.to_data_list() if isinstance(data, kind) else [data]
    others = [copy(graph) if change == "repeated" else _permuted(graph, change) for graph in graphs]
    return kind.from_data_list(others if change == "same size" else [*map(copy, graphs), *others])


def _permuted(data: Any, change: Change) -> Any:
    """One graph with its nodes in another order."""
    twin, nodes = copy(data), data.num_nodes
    order = _order(nodes, change)
    for name, value in list(data):
        if not isinstance(value, Tensor) or not value.ndim:
            continue
        if data.is_node_attr(name):
            twin[name] = _turned(value[order.to(value.device)], change)
        elif not value.is_floating_point() and data.__inc__(name, value) == nodes and nodes:
            twin[name] = order.argsort().to(value.device)[value]
    return twin
