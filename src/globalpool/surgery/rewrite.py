"""Rewritings that change no value: they bring common forms into one that the search can follow."""

from typing import Any

from torch.fx import Graph, GraphModule, Node

from globalpool.surgery.nodes import Shapes, argument, aten, name_of
from globalpool.surgery.reductions import RULES


def simplify(module: GraphModule, shapes: Shapes) -> None:
    """Apply every rewriting wherever it fits."""
    _share(module.graph)
    for node in list(module.graph.nodes):
        for rule in (_stacked, _sequence_first):
            with module.graph.inserting_before(node):
                new = rule(module.graph, node, shapes)
            if new is not None:
                new.meta = dict(node.meta)
                shapes[new] = shapes[node]
                node.replace_all_uses_with(new)
                break
    module.graph.eliminate_dead_code()
    module.recompile()


def _share(graph: Graph) -> None:
    """A pooling written twice is one."""
    seen: dict[Any, Node] = {}
    for node in list(graph.nodes):
        if node.op == "call_function" and name_of(node) in RULES:
            first = seen.setdefault(str((node.target, node.args, node.kwargs)), node)
            if first is not node:
                node.replace_all_uses_with(first)


def _stacked(graph: Graph, node: Node, shapes: Shapes) -> Node | None:
    """The mean or sum of stacked values is their sum: two heads averaged."""
    stack = node.args[0] if node.args else None
    if name_of(node) not in ("mean", "sum") or not isinstance(stack, Node) or name_of(stack) != "stack":
        return None
    rank = len(shapes[stack])
    dims = argument(node, 1, "dim")
    axis = argument(stack, 1, "dim", 0) % rank
    if not isinstance(dims, list | tuple) or [dim % rank for dim in dims] != [axis] or argument(node, 2, "keepdim"):
        return None
    values: Any = stack.args[0]
    total = values[0]
    for value in values[1:]:
        total = graph.call_function(aten.add.Tensor, (total, value))
    return graph.call_function(aten.div.Tensor, (total, len(values))) if name_of(node) == "mean" else total


def _sequence_first(graph: Graph, node: Node, shapes: Shapes) -> Node | None:
    """``nn.MultiheadAttention`` lays ``(L, N)`` flat for its output projection: the same, samples first."""
    chain = _chain(node, ("transpose", "view", "linear", "view", "contiguous", "permute"))
    chain = chain or _chain(node, ("transpose", "view", "linear", "reshape", "permute"))
    chain = chain or _chain(node, ("transpose", "view", "linear", "view", "permute"))
    if chain is None or list(chain[-1].args[1]) != [2, 0, 1, 3]:  # type: ignore[arg-type]
        return None
    source, linear = chain[-1].args[0], chain[2]
    if shapes[chain[1]][1] != shapes[source][0]:  # type: ignore[index]
        return None
    first = graph.call_function(aten.transpose.int, (source, 1, 2))
    flat = graph.call_function(aten.flatten.using_ints, (first, 2))
    return graph.call_function(aten.linear.default, (flat, *linear.args[1:]), linear.kwargs)


def _chain(node: Node, names: tuple[str, ...]) -> list[Node] | None:
    found = []
    for name in names:
        if name_of(node) != name:
            return None
        found.append(node)
        if name != names[-1]:
            if not node.args or not isinstance(node.args[0], Node):
                return None
            node = node.args[0]
    return found
