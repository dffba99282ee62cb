"""Small questions about nodes of a traced graph."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.fx import Graph, Node

aten: Any = torch.ops.aten

#: The shape of every node's value, or the integer it is.
Shapes = dict[Node, Any]


def name_of(node: Node) -> str:
    """``relu`` for ``aten.relu_.default``; ``getitem`` for Python's; the operation's word for everything else."""
    if node.op != "call_function":
        return node.op
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return str(getattr(node.target, "__name__", node.target))
    name = str(schema.name).split("::")[-1]
    return name if name.startswith("_") else name.rstrip("_")


def argument(node: Any, place: int, name: str, default: Any = None) -> Any:
    """An argument of a node, or of an operation, given by place or by name."""
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def args_of(node: Node) -> Any:
    """The arguments by place; their type is what the operation says, which no checker knows."""
    return node.args


def writes(node: Node) -> bool:
    """Whether the operation writes into one of its inputs."""
    return bool(getattr(getattr(node.target, "_schema", None), "is_mutable", False))


def functional(target: Any) -> Any:
    """The same operation without writing into its input."""
    schema = getattr(target, "_schema", None)
    if schema is None or not schema.is_mutable:
        return target
    return getattr(getattr(aten, schema.name.split("::")[-1].rstrip("_")), schema.overload_name or "default")


def ancestors(nodes: Iterable[Node]) -> set[Node]:
    """The nodes and everything they are computed from."""
    seen: set[Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting.extend(node.all_input_nodes)
    return seen


def descendants(nodes: Iterable[Node]) -> set[Node]:
    """Everything computed from the nodes, without them."""
    seen: set[Node] = set()
    waiting = [user for node in nodes for user in node.users]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting.extend(node.users)
    return seen


def dependent(graph: Graph) -> set[Node]:
    """Nodes that depend on the model's input."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    return descendants(inputs) | set(inputs)


def order(graph: Graph) -> dict[Node, int]:
    """When each node runs."""
    return {node: index for index, node in enumerate(graph.nodes)}


def axes_of(dims: Any, rank: int) -> tuple[int, ...]:
    """Axes as non-negative numbers; None or an empty list is all."""
    if dims is None or (isinstance(dims, list | tuple) and not dims):
        return tuple(range(rank))
    dims = [dims] if isinstance(dims, int) else dims
    return tuple(sorted(axis % rank for axis in dims))


def where(node: Node) -> str:
    """``layer_norm in head.norm``: an operation and the module that ran it, for messages."""
    stack = node.meta.get("nn_module_stack") or {}
    path = [entry[0] for entry in stack.values()]
    module = path[-1].replace("L['self'].", "").replace("L['self']", "") if path else ""
    return f"{name_of(node)} ({node.name})" + (f" in {module}" if module else "")
