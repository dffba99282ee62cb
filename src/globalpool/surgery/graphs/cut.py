"""A traced graph network cut at its readouts: a trunk that gives node features, and a tail."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, cat
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from globalpool.errors import AdoptionError
from globalpool.pools import Concat, Max, Mean, Pool, Sum
from globalpool.surgery.find import output_of
from globalpool.surgery.graphs.find import LastReadouts, Readout
from globalpool.surgery.graphs.messages import place
from globalpool.surgery.graphs.scored import Scored
from globalpool.surgery.nodes import ancestors, aten, dependent

PLAIN: dict[str, Callable[[], Pool]] = {"sum": Sum, "mean": Mean, "max": Max}


@dataclass(frozen=True, eq=False)
class GraphCut:
    """``trunk(*inputs) -> (features (T, C), batch, ptr, size, scores, sides)`` and ``tail(vectors (N, F), *sides)``.

    ``scores`` and ``sides`` are tuples. ``pool`` takes the features of all readouts side by side; ``sides``: the nodes
    whose values the tail needs beside the pooled vectors, one row a graph.
    """

    trunk: GraphModule
    pool: Pool
    tail: GraphModule
    sides: tuple[Node, ...]


def cut_graph(module: GraphModule, found: LastReadouts, values: dict[Node, Any], samples: int) -> GraphCut:
    """Cut at the readouts of ``found``; ``values`` are those of the example, whose graphs are ``samples``."""
    starts = _starts(found, values)
    width = sum(values[node].shape[1] for node in starts)
    pools, slices = _pools(found.readouts, starts, width, values)
    tail, sides = _tail(module, found, values, slices, samples)
    trunk = _trunk(module, found.readouts, list(starts), sides)
    return GraphCut(trunk, pools[0] if len(pools) == 1 else Concat(*pools), tail, sides)


def _starts(found: LastReadouts, values: dict[Node, Any]) -> dict[Node, int]:
    """The first channel of each features node, laid side by side."""
    starts: dict[Node, int] = {}
    width = 0
    for readout in found.readouts:
        if readout.features not in starts:
            starts[readout.features] = width
            width += values[readout.features].shape[1]
    if len(starts) > 1 and any(readout.kind == "pool" for readout in found.readouts):
        got = "one among readouts of several features"
        raise AdoptionError("adopt", "a globalpool pool as the only readout, or with others of the same features", got)
    return starts


def _pools(
    readouts: tuple[Readout, ...], starts: dict[Node, int], width: int, values: dict[Node, Any]
) -> tuple[list[Pool], dict[Node, tuple[int, int]]]:
    """The pools over the channels ``width``, each region once, and where each readout stands in their vectors."""
    pools: list[Pool] = []
    columns: dict[str, int] = {}
    slices: dict[Node, tuple[int, int]] = {}
    total = 0
    for readout in readouts:
        start, length = starts[readout.features], values[readout.features].shape[1]
        own = columns.get(readout.kind)
        if own is None:
            own = total
            if readout.pool is not None:
                pools.append(readout.pool)
                start, length = 0, readout.pool.regions * width
            elif readout.kind in PLAIN:
                pools.append(PLAIN[readout.kind]())
                columns[readout.kind] = own
            else:
                pools.append(Scored(start))
            total += pools[-1].regions * width
        slices[readout.node] = (own + start, length)
    whole = {node: piece for node, piece in slices.items() if piece == (0, total)}
    return pools, {node: (0, 0) if node in whole else piece for node, piece in slices.items()}


def _trunk(
    module: GraphModule, readouts: tuple[Readout, ...], features: list[Node], sides: tuple[Node, ...]
) -> GraphModule:
    first, scores = readouts[0], [readout.scores for readout in readouts if readout.scores is not None]
    wanted = [node for node in (first.batch, first.ptr, first.size) if isinstance(node, Node)]
    needed = ancestors([*features, *wanted, *scores, *sides])
    graph = Graph()
    copied: dict[Node, Node] = {}
    for node in module.graph.nodes:
        if node.op == "placeholder" or node in needed:
            copied[node] = graph.node_copy(node, lambda old: copied[old])
    joined = copied[features[0]]
    if len(features) > 1:
        joined = graph.call_function(cat, ([copied[node] for node in features], 1))
    layout = map_arg((first.batch, first.ptr, first.size), lambda old: copied[old])
    graph.output((joined, *layout, tuple(copied[node] for node in scores), tuple(copied[node] for node in sides)))
    return GraphModule(module, graph)


def _tail(
    module: GraphModule, found: LastReadouts, values: dict[Node, Any], slices: dict[Node, tuple[int, int]], samples: int
) -> tuple[GraphModule, tuple[Node, ...]]:
    graph, depends = Graph(), dependent(module.graph)
    vectors = graph.placeholder("vectors")
    copied: dict[Node, Node] = {}
    used = [node for node in module.graph.nodes if node not in found.tail and set(node.users) & found.tail]
    tensors = [node for node in used if node not in slices and node in depends and isinstance(values[node], Tensor)]
    for count, node in enumerate(tensors):
        _check_side(module, node, values[node], samples)
        copied[node] = graph.placeholder(f"side_{count + 1}")
    for node, (start, length) in slices.items():
        part = (vectors, 1, start, start + length)
        copied[node] = graph.call_function(aten.slice.Tensor, part) if length else vectors

    def get(node: Node) -> Any:
        if node not in copied:
            value = values[node]
            if node in depends and isinstance(value, int) and value == samples:
                copied[node] = graph.call_method("size", (vectors, 0))
            elif node in depends:
                if not isinstance(value, bool | int | float | str | None):
                    _check_side(module, node, value, samples)
                return value  # a width, or None: the proof at another batch tells if it is more
            else:
                copied[node] = graph.node_copy(node, get)
        return copied[node]

    for node in module.graph.nodes:
        if node in found.tail:
            args, kwargs = map_arg(node.args, get), map_arg(node.kwargs, get)
            copied[node] = graph.create_node(node.op, node.target, args, kwargs)
            copied[node].meta = dict(node.meta)
    graph.output(copied[output_of(module)])
    return GraphModule(module, graph), tuple(tensors)


def _check_side(module: GraphModule, node: Node, value: Any, samples: int) -> None:
    if not isinstance(value, Tensor) or (value.ndim and value.shape[0] != samples):
        got = f"{tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        hint = "What is computed from single nodes or edges after the last readout cannot be held."
        expected = f"values of one row a graph ({samples}) beside the pooled vectors"
        raise AdoptionError("adopt", expected, f"{got} from {place(module, node)}", hint)
