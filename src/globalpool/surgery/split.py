"""A traced graph cut in two: a trunk that gives features and what else the tail needs, and the tail."""

from dataclasses import dataclass
from typing import Any

from torch.fx import Graph, GraphModule, Node

from globalpool.errors import AdoptionError
from globalpool.surgery.carried import weights_of
from globalpool.surgery.find import Found, output_of
from globalpool.surgery.nodes import Shapes, ancestors, aten, dependent, descendants, functional, name_of
from globalpool.surgery.reductions import Reduction
from globalpool.surgery.trunk import trunk_graph

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Slot:
    """How one pooling's result is read from the pooled vectors ``(N, R * C)``.

    ``start`` and ``length`` say where; ``shape`` is what the graph expects, without the samples; ``regions`` > 1 are
    laid out last (a map) or, for attention, as the queries' axis.
    """

    start: int
    length: int
    shape: Shape
    regions: int
    attention: bool


@dataclass(frozen=True, eq=False)
class Cut:
    """``trunk(x) -> (features (N, C, *S), *carried, *sides)``, ``tail(vectors, *sides) -> logits``.

    ``carried``: the trunk also gives (weights, remainder, value), for attention and weighted sums; ``fixed_weights``:
    they do not depend on the input, and there is no remainder. ``live`` names the linear inputs of each node of the
    tail on the way from the pooled vectors. ``sides`` counts values that are no pooled vector; ``varied``: some differ
    between samples.
    """

    trunk: GraphModule
    tail: GraphModule
    slots: tuple[Slot, ...]
    live: dict[str, tuple[str, ...]]
    carried: bool
    fixed_weights: bool
    sides: int
    varied: bool
    channels: int


def cut(module: GraphModule, found: Found, shapes: Shapes, inputs_of: Any) -> Cut:
    """Cut ``module`` at the pools of ``found``; ``inputs_of(node, depends)`` names the linear inputs of a node."""
    depends = dependent(module.graph)
    first = found.pools[0]
    shape = shapes[first.features]
    rest = tuple(axis for axis in range(1, len(shape)) if axis not in first.axes)
    channels = 1
    for axis in rest:
        channels *= shape[axis]
    slots = _slots(found.pools, shapes, channels)
    tail, live, sides = _tail(module, found, shapes, depends, slots, inputs_of)
    weighted = any(pool.kind == "weighted" or pool.steps for pool in found.pools)
    if weighted and any(pool.kind not in ("weighted", "mean", "sum") for pool in found.pools):
        others = ", ".join(pool.kind for pool in found.pools)
        raise AdoptionError("adopt", "one way of pooling the same features, or sums and means of them", others)
    trunk, complete = trunk_graph(module, found.pools, shapes, rest, sides, weighted)
    # What a network does to single positions is no property of a pool: no more than "weighted" is claimed for it.
    plain = complete and not any(pool.steps for pool in found.pools)
    fixed = weighted and plain and not any(n in depends for pool in found.pools for n in weights_of(pool, shapes))
    varied = any(isinstance(shapes[side], tuple) for side in sides)
    return Cut(trunk, tail, slots, live, weighted, fixed, len(sides), varied, channels)


def _slots(pools: tuple[Reduction, ...], shapes: Shapes, channels: int) -> tuple[Slot, ...]:
    slots, start = [], 0
    for pool in pools:
        shape = shapes[pool.node]
        width = 1
        for side in shape[1:]:
            width *= side
        slots.append(Slot(start, width, tuple(shape[1:]), width // channels, pool.kind == "weighted"))
        start += width
    return tuple(slots)


def _tail(
    module: GraphModule, found: Found, shapes: Shapes, depends: set[Node], slots: tuple[Slot, ...], inputs_of: Any
) -> tuple[GraphModule, dict[str, tuple[str, ...]], list[Node]]:
    """The graph from pooled vectors to logits, its linear inputs by name, and the nodes it needs from the trunk."""
    graph = Graph()
    vectors = graph.placeholder("vectors")
    end = output_of(module)
    pools = [pool.node for pool in found.pools]
    after = descendants(pools) & ancestors([end])
    entries: dict[Node, Node] = {}
    for slot, pool in zip(slots, pools, strict=True):
        entries[pool] = _read(graph, vectors, slot)
    sides: list[Node] = []
    copied: dict[Node, Node] = {}

    def side(node: Node) -> Node:
        """A value the tail takes from the trunk, as a further input; what does not depend on the input is copied."""
        if node in entries:
            return entries[node]
        if node in copied:
            return copied[node]
        if node not in depends:
            with graph.inserting_before(_first_call(graph)):
                copied[node] = graph.node_copy(node, side)
            return copied[node]
        with graph.inserting_before(_first_call(graph)):
            if name_of(node) == "sym_size" and node.args[1] == 0:  # the number of samples
                copied[node] = graph.call_function(aten.sym_size.int, (vectors, 0))
                return copied[node]
        sides.append(node)
        with graph.inserting_before(_first_call(graph)):
            copied[node] = graph.placeholder(f"side_{len(sides)}")
        return copied[node]

    for node in module.graph.nodes:
        if node not in after or node in entries:
            continue
        new = graph.node_copy(node, side)
        new.target = functional(node.target)
        copied[node] = new
    places = {**copied, **entries}
    graph.output(places[end] if end in places else entries[end])
    live = {
        copied[node].name: tuple(dict.fromkeys(places[s].name for s in inputs_of(node, depends) if _reaches(s, found)))
        for node in found.tail
        if node in copied
    }
    return GraphModule(module, graph), live, sides


def _reaches(node: Node, found: Found) -> bool:
    return node in found.tail or any(node is pool.node for pool in found.pools)


def _first_call(graph: Graph) -> Node:
    first: Node = next(node for node in graph.nodes if node.op != "placeholder")
    return first


def _read(graph: Graph, vectors: Node, slot: Slot) -> Node:
    """The pooled vectors of one pooling, in the shape the graph expects."""
    part = graph.call_function(aten.slice.Tensor, (vectors, 1, slot.start, slot.start + slot.length))
    if slot.regions == 1:
        return graph.call_function(aten.unflatten.int, (part, 1, list(slot.shape)))
    if slot.attention:
        *heads, queries, width = slot.shape
        part = graph.call_function(aten.unflatten.int, (part, 1, [queries, *heads, width]))
        last = len(slot.shape)
        return graph.call_function(aten.permute.default, (part, [0, *range(2, last), 1, last]))
    regions = graph.call_function(aten.unflatten.int, (part, 1, [slot.regions, slot.shape[0]]))
    regions = graph.call_function(aten.transpose.int, (regions, 1, 2))
    return graph.call_function(aten.unflatten.int, (regions, 2, list(slot.shape[1:])))
