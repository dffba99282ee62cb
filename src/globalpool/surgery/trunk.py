"""The trunk of a cut graph: features in standard order, what the pool carries, and what the tail needs beside."""

import operator
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from globalpool.surgery.grids import grid_of, positions_among
from globalpool.surgery.nodes import ancestors, argument, aten, descendants, writes
from globalpool.surgery.reductions import Reduction, Shapes

Shape = tuple[int, ...]


def weights_of(pool: Reduction) -> list[Node]:
    """The nodes a pool's weights are made from."""
    if pool.weights is not None:
        return [pool.weights]
    if pool.scale is not None:
        return [pool.scale]
    return [arg for arg in pool.node.args[:2] if isinstance(arg, Node)]


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
    needed = ancestors([first.features, *sides, *(n for p in pools for n in weights_of(p) if weighted)])
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

    def laid_out(node: Node, flat_axes: int) -> Node:
        """``(N, *flat axes, P)`` with the kept positions as a map at the end, behind one flat axis."""
        if partly:
            node = call(aten.slice.Tensor, node, -1, start, start + wanted)
        return call(aten.unflatten.int, node, -1, lengths) if lengths else node

    order = [0, *rest, *first.axes]
    features = copied[first.features]
    if order != list(range(len(order))):
        features = call(aten.permute.default, features, order)
    if len(rest) > 1:
        features = call(aten.flatten.using_ints, features, 1, len(rest))
    features = laid_out(features, 1)
    results: list[Node] = [features]
    if weighted:
        results += _carried(graph, pools, shapes, copied, rest, laid_out, (start, wanted) if partly else None, call)
    graph.output((*results, *(copied[side] for side in sides)))
    return GraphModule(module, graph), not partly


def _carried(
    graph: Graph,
    pools: tuple[Reduction, ...],
    shapes: Shapes,
    copied: dict[Node, Node],
    rest: Shape,
    laid_out: Any,
    part: tuple[int, int] | None,
    call: Any,
) -> list[Node]:
    """Weights ``(N, R, C or 1, *S)``, remainder and value ``(N, R, C)`` of attention and weighted sums."""
    weights, remainders, values = [], [], []
    for pool in pools:
        if pool.kind != "weighted":
            full = shapes[pool.features]
            scale = copied[pool.scale]  # type: ignore[index]
            for _ in range(len(full) - len(shapes[pool.scale])):  # type: ignore[index]
                scale = call(aten.unsqueeze.default, scale, 0)
            sizes = [
                -1 if axis in rest else call(aten.sym_size.int, copied[pool.features], axis)
                for axis in range(len(full))
            ]
            scale = call(aten.expand.default, scale, sizes)
            scale = call(aten.permute.default, scale, [0, *rest, *pool.axes])
            if len(rest) > 1:
                scale = call(aten.flatten.using_ints, scale, 1, len(rest))
            scale = laid_out(call(aten.unsqueeze.default, scale, 1), 1)
            if pool.kind == "mean":
                count = 1
                for axis in pool.axes:
                    count *= shapes[pool.features][axis]
                scale = call(aten.div.Tensor, scale, count)
            weights.append(scale)
            value = call(aten.reshape.default, copied[pool.node], [-1, 1, _width(shapes, pool, rest)])
            values.append(value)
            remainders.append(call(aten.zeros_like.default, value))
            continue
        attention = _attention(pool, copied, call) if pool.weights is None else copied[pool.weights]
        features, width = copied[pool.features], shapes[pool.features][-1]
        if part is not None:
            start, wanted = part
            pieces = []
            for low, high in ((0, start), (start + wanted, shapes[pool.features][-2])):
                if high > low:
                    own = call(aten.slice.Tensor, attention, -1, low, high)
                    pieces.append(call(aten.matmul.default, own, call(aten.slice.Tensor, features, -2, low, high)))
            left = pieces[0] if len(pieces) == 1 else call(aten.add.Tensor, *pieces)
        else:
            left = call(aten.zeros_like.default, copied[pool.node])
        # (N, heads, Q, L) -> (N, Q, heads * width, L): each head weights its own channels.
        if len(shapes[pool.features]) == 4:
            spread = call(aten.repeat_interleave.self_int, attention, width, 1)
            spread = call(aten.transpose.int, spread, 1, 2)
        else:
            spread = call(aten.unsqueeze.default, attention, 2)
        weights.append(laid_out(spread, 2))
        for node, into in ((left, remainders), (copied[pool.node], values)):
            if len(shapes[pool.features]) == 4:
                node = call(aten.flatten.using_ints, call(aten.transpose.int, node, 1, 2), 2)
            into.append(node)
    return [
        nodes[0] if len(nodes) == 1 else call(aten.cat.default, nodes, 1) for nodes in (weights, remainders, values)
    ]


def _width(shapes: Shapes, pool: Reduction, rest: Shape) -> int:
    width = 1
    for axis in rest:
        width *= shapes[pool.features][axis]
    return width


def _attention(pool: Reduction, copied: dict[Node, Node], call: Any) -> Node:
    """The softmax weights of a scaled dot product attention, written out."""
    node = pool.node
    query, key = copied[node.args[0]], copied[node.args[1]]  # type: ignore[index]
    scale = argument(node, 6, "scale")
    if scale is None:
        scale = call(operator.pow, call(aten.sym_size.int, query, -1), -0.5)
    elif isinstance(scale, Node):
        scale = copied[scale]
    scores = call(aten.mul.Tensor, call(aten.matmul.default, query, call(aten.transpose.int, key, -2, -1)), scale)
    mask = argument(node, 3, "attn_mask")
    if isinstance(mask, Node):
        scores = call(_add_mask, scores, copied[mask])
    weights: Node = call(aten.softmax.int, scores, -1)
    return weights


def _add_mask(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A bool mask keeps where it is True; any other is added."""
    return scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
