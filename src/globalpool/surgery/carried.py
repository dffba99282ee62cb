"""Weights, remainder and value of the pools whose weights the trunk computes: attention, weighted sums, parts."""

import operator
from typing import Any

import torch
from torch.fx import Node

from globalpool.surgery.nodes import Shapes, argument, aten
from globalpool.surgery.position_steps import factors_of, position_weights
from globalpool.surgery.reductions import Reduction

Shape = tuple[int, ...]


def weights_of(pool: Reduction, shapes: Shapes) -> list[Node]:
    """The nodes a pool's weights are made from."""
    if pool.weights is not None:
        return [pool.weights]
    if pool.kind != "weighted":
        return factors_of(pool.steps, shapes)
    return [arg for arg in pool.node.args[:2] if isinstance(arg, Node)]


def carried(
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
            scale = laid_out(_fixed(pool, shapes, copied, rest, call))
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
        weights.append(laid_out(spread))
        for node, into in ((left, remainders), (copied[pool.node], values)):
            if len(shapes[pool.features]) == 4:
                node = call(aten.flatten.using_ints, call(aten.transpose.int, node, 1, 2), 2)
            into.append(node)
    return [
        nodes[0] if len(nodes) == 1 else call(aten.cat.default, nodes, 1) for nodes in (weights, remainders, values)
    ]


def _fixed(pool: Reduction, shapes: Shapes, copied: dict[Node, Node], rest: Shape, call: Any) -> Node:
    """Weights ``(N, 1, C, positions)`` of a sum or mean with what happens to positions before it."""
    features, rank = copied[pool.features], len(shapes[pool.features])
    weights = position_weights(pool.steps, rank, copied, call, shapes)
    lengths = [call(aten.sym_size.int, features, axis) for axis in range(rank)]
    if weights is None:
        weights = call(aten.ones_like.default, features)
    weights = call(aten.expand.default, weights, lengths)
    weights = call(aten.permute.default, weights, [0, *rest, *pool.axes])
    if len(rest) > 1:
        weights = call(aten.flatten.using_ints, weights, 1, len(rest))
    if pool.kind == "mean":
        summed = copied[pool.steps[0]] if pool.steps else features
        for axis in pool.axes:
            weights = call(aten.div.Tensor, weights, call(aten.sym_size.int, summed, axis))
    found: Node = call(aten.unsqueeze.default, weights, 1)
    return found


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
