"""The operations of a traced tail as plain data, which torch.compile can follow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from globalpool.surgery.nodes import args_of, dependent, name_of, where
from globalpool.surgery.tail_inputs import AFFINE, linear_inputs


@dataclass(frozen=True)
class Ref:
    """The value of an operation, by its name in the graph."""

    name: str


@dataclass(frozen=True, eq=False)
class Operation:
    """One line of the graph: ``name = target(*args, **kwargs)``, values of others as ``Ref``.

    ``word`` is what it does ("linear", "get_attr", ...), ``live`` the inputs a pooled vector comes through, ``parent``
    the operation whose several results this one picks from, ``place`` where it stood in the model.
    """

    name: str
    word: str
    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    live: tuple[Ref, ...]
    parent: "Operation | None"
    place: str
    affine: bool


def program_of(module: GraphModule, live: dict[str, tuple[str, ...]]) -> list[Operation]:
    """The graph line by line; ``live`` names the linear inputs of the model's operations on the way to the logits."""
    depends = dependent(module.graph)
    made: dict[Node, Operation] = {}
    reached: set[str] = set()
    moved = _moved(module)
    for node in module.graph.nodes:
        if not made:
            reached.add(node.name)  # the pooled vectors
        names: tuple[str, ...] = live.get(node.name, ())
        if not names and node.op == "call_function":
            names = _entry(node, reached)
        sources = [source for source in (linear_inputs(node, depends) or () if names else ()) if source.name in names]
        refs = tuple(Ref(source.name) for source in sources)
        if refs:
            reached.add(node.name)
        first: Any = args_of(node)[0] if node.args else None
        made[node] = Operation(
            node.name,
            name_of(node),
            node.target,
            _plain(node.args),
            _plain(node.kwargs),
            refs,
            made.get(first) if name_of(node) == "getitem" else None,
            where(node),
            _is_affine(node, depends) and not _holds(node, sources, moved),
        )
    return list(made.values())


def _holds(node: Node, sources: list[Node], moved: set[Node]) -> bool:
    """Whether the operation also reads something of the pooled vectors that it is not linear in, as it was."""
    return name_of(node) != "getitem" and any(arg in moved and arg not in sources for arg in node.all_input_nodes)


def _moved(module: GraphModule) -> set[Node]:
    """Nodes whose values, not only their shapes, depend on the pooled vectors."""
    moved: set[Node] = set()
    for node in module.graph.nodes:
        if not moved or (name_of(node) != "sym_size" and any(source in moved for source in node.all_input_nodes)):
            moved.add(node)
    return moved


def _plain(arguments: Any) -> Any:
    """Arguments with a ``Ref`` for every node; lists and tuples of Python's own."""
    if isinstance(arguments, Node):
        return Ref(arguments.name)
    if isinstance(arguments, dict):
        return {name: _plain(value) for name, value in arguments.items()}
    if isinstance(arguments, tuple):
        return tuple(_plain(value) for value in arguments)
    return [_plain(value) for value in arguments] if isinstance(arguments, list) else map_arg(arguments, _plain)


def _entry(node: Node, reached: set[str]) -> tuple[str, ...]:
    """Nodes that only lay the pooled vectors out, before the first operation of the model."""
    first: Any = args_of(node)[0] if node.args else None
    reads = name_of(node) in ("slice", "unflatten", "transpose", "permute")
    return (first.name,) if reads and isinstance(first, Node) and first.name in reached else ()


def _is_affine(node: Node, depends: set[Node]) -> bool:
    factors = [arg for arg in args_of(node)[:2] if isinstance(arg, Node) and arg in depends]
    return name_of(node) in AFFINE or (name_of(node) in ("mul", "div") and len(factors) == 1)
