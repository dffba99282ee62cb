"""The trunk of a cut graph: features in standard order, what the pool carries, and what the tail needs beside."""

from typing import Any

from torch.fx import Graph, GraphModule, Node

from globalpool.surgery.carried import carried, weights_of
from globalpool.surgery.grids import grid_of, positions_among
from globalpool.surgery.nodes import Shapes, ancestors, aten, descendants, writes
from globalpool.surgery.reductions import Reduction

Shape = tuple[int, ...]


def trunk_graph(
    module: GraphModule, pools: tuple[Reduction, ...], shapes: Shapes, rest: Shape, sides: list[Node], weighted: bool
) -> tuple[GraphModule, bool]:
    """The graph from the input to features in standard order, what the pool carries, and the sides.

    And whether every token is a position; else the others are in the remainder.
    """
    first = pools[0]
    count = 1
    for axis in first.axes:
        count *= shapes[first.features][axis]
    start, wanted, grid = 0, count, None
    if len(first.axes) == 1:
        if weighted and first.kind == "weighted":
            start, wanted = positions_among(first.features, first.axes[0], shapes)
        grid = grid_of(first.features, wanted, shapes)
    graph = Graph()
    copied: dict[Node, Node] = {}
    needed = ancestors([first.features, *sides, *(n for p in pools for n in weights_of(p, shapes) if weighted)])
    needed |= ancestors(pool.node for pool in pools) if weighted else set()
    if grid is not None:
        needed |= ancestors([grid.node])
    behind = descendants(pool.node for pool in pools)
    # What writes into a part of a tensor is no ancestor of that tensor's readers.
    needed |= ancestors(node for node in module.graph.nodes if writes(node) and node not in behind)
    for node in module.graph.nodes:
        if node in needed or node.op == "placeholder":
            copied[node] = graph.node_copy(node, lambda old: copied[old])

    def call(target: Any, *args: Any) -> Node:
        return graph.call_function(target, args)

    lengths: list[Any] = []
    if grid is not None:
        lengths = [call(aten.sym_size.int, copied[grid.node], axis) for axis in grid.axes]
    partly = wanted != count

    def laid_out(node: Node) -> Node:
        """``(N, *, P)`` with the kept positions as a map at the end."""
        if partly:
            node = call(aten.slice.Tensor, node, -1, start, start + wanted)
        return call(aten.unflatten.int, node, -1, lengths) if lengths else node

    order = [0, *rest, *first.axes]
    features = copied[first.features]
    if order != list(range(len(order))):
        features = call(aten.permute.default, features, order)
    if len(rest) > 1:
        features = call(aten.flatten.using_ints, features, 1, len(rest))
    features = laid_out(features)
    results: list[Node] = [features]
    if weighted:
        results += carried(pools, shapes, copied, rest, laid_out, (start, wanted) if partly else None, call)
    graph.output((*results, *(copied[side] for side in sides)))
    return GraphModule(module, graph), not partly
