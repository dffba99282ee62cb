"""What a network does to its positions just before it sums them: a factor for each, or only some of them.

Both are weights: the features are those before these steps, and the pool carries what the steps do to a position.
"""

import operator
from collections.abc import Callable
from math import prod
from typing import Any

from torch.fx import Node

from globalpool.surgery.grids import positions_among
from globalpool.surgery.nodes import Shapes, args_of, argument, aten, name_of
from globalpool.surgery.tail_inputs import IDENTITIES

Call = Callable[..., Node]


def before_steps(
    source: Node, dims: tuple[int, ...], shapes: Shapes, depends: set[Node]
) -> tuple[Node, tuple[Node, ...]]:
    """``(features, steps)``: ``source`` is ``features`` after ``steps``, the last one first; none where it is plain.

    A step is a product with a factor that differs between positions and not between channels, or a slice along an
    axis that is summed over.
    """
    steps: list[Node] = []
    node = source
    while True:
        following = node
        while _passes_on(following, shapes):
            following = args_of(following)[0]
        found = _scaled(following, dims, shapes, depends) or _part(following, dims, shapes, depends)
        if found is None:
            return node, tuple(steps)
        node = found
        steps.append(following)


def _passes_on(node: Node, shapes: Shapes) -> bool:
    source = node.args[0] if node.args else None
    whole = name_of(node) == "slice" and isinstance(source, Node) and shapes[source] == shapes[node]
    return isinstance(source, Node) and (whole or name_of(node) in IDENTITIES)


def factors_of(steps: tuple[Node, ...], shapes: Shapes) -> list[Node]:
    """The factors among the steps."""
    return [_factor(step, shapes) for step in steps if name_of(step) == "mul"]


def position_weights(
    steps: tuple[Node, ...], rank: int, copied: dict[Node, Node], call: Call, shapes: Shapes
) -> Node | None:
    """What the steps multiply each position of the features by, broadcasting over them; 0 for those left out.

    None without steps. The steps' transpose: a slice gives back zeros around what it took.
    """
    weights: Node | None = None
    for step in steps:
        if name_of(step) == "mul":
            factor = _factor(step, shapes)
            own = copied[factor]
            for _ in range(rank - len(shapes[factor])):
                own = call(aten.unsqueeze.default, own, 0)
            weights = own if weights is None else call(aten.mul.Tensor, weights, own)
            continue
        axis = argument(step, 1, "dim", 0) % rank
        start, whole = argument(step, 2, "start") or 0, call(aten.sym_size.int, copied[step.args[0]], axis)  # type: ignore[index]
        length = call(aten.sym_size.int, copied[step], axis)
        if weights is None:
            line = call(aten.slice.Tensor, copied[step], 0, 0, 1)
            for other in range(1, rank):
                line = line if other == axis else call(aten.slice.Tensor, line, other, 0, 1)
            weights = call(aten.ones_like.default, line)
        else:
            sizes = [length if other == axis else -1 for other in range(rank)]
            weights = call(aten.expand.default, weights, sizes)
        start = copied[start] if isinstance(start, Node) else start
        first = call(operator.add, whole, start) if isinstance(start, int) and start < 0 else start
        after = call(operator.sub, call(operator.sub, whole, first), length)
        weights = call(aten.constant_pad_nd.default, weights, [0, 0] * (rank - 1 - axis) + [first, after])
    return weights


def _scaled(product: Node, dims: tuple[int, ...], shapes: Shapes, depends: set[Node]) -> Node | None:
    """What is multiplied by a factor of each position."""
    if name_of(product) != "mul":
        return None
    for place in (0, 1):
        factor, other = args_of(product)[place], args_of(product)[1 - place]
        if isinstance(other, Node) and other in depends and _is_factor(factor, other, product, dims, shapes):
            return other
    return None


def _is_factor(factor: Any, other: Node, product: Node, dims: tuple[int, ...], shapes: Shapes) -> bool:
    own, full = shapes.get(factor) if isinstance(factor, Node) else None, shapes[product]
    if not isinstance(own, tuple) or shapes.get(other) != full:
        return False
    own = (1,) * (len(full) - len(own)) + own
    rest = [axis for axis in range(1, len(full)) if axis not in dims]
    return all(own[axis] == 1 for axis in rest) and prod(own[axis] for axis in dims) > 1


def _factor(product: Node, shapes: Shapes) -> Node:
    """The smaller of two factors: it is the one that has no channels."""
    first, second = args_of(product)[:2]
    found: Node = first if prod(shapes[first]) < prod(shapes[second]) else second
    return found


def _part(part: Node, dims: tuple[int, ...], shapes: Shapes, depends: set[Node]) -> Node | None:
    """What a slice takes some positions of; tokens that were joined to the positions are none that it leaves out."""
    source = part.args[0] if name_of(part) == "slice" else None
    if not isinstance(source, Node) or source not in depends or argument(part, 4, "step", 1) != 1:
        return None
    before, after = shapes[source], shapes[part]
    axis = argument(part, 1, "dim", 0) % len(before)
    if axis not in dims or before[axis] == after[axis]:
        return None
    if len(dims) == 1:
        start = argument(part, 2, "start") or 0
        start = shapes[start] if isinstance(start, Node) else start
        if positions_among(source, axis, shapes) == (start % before[axis], after[axis]):
            return None
    return source
