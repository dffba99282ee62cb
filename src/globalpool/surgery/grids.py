"""Which tokens are positions, and how they lie in the picture: read off the operations that made them."""

from dataclasses import dataclass
from math import prod

from torch.fx import Node

from globalpool.surgery.nodes import Shapes, ancestors, argument, name_of, order

#: Tokens beside the positions (class, distillation, registers) that a network may put before or after them.
MOST_EXTRA = 32


def positions_among(features: Node, axis: int, shapes: Shapes) -> tuple[int, int]:
    """``(first, count)`` of the real positions among the tokens of ``features``: what was not joined to them."""
    total = shapes[features][axis]
    when = order(features.graph)
    joins = [node for node in ancestors([features]) if name_of(node) in ("cat", "concat")]
    for join in sorted(joins, key=lambda node: -when[node]):
        shape = shapes.get(join)
        if not isinstance(shape, tuple) or total not in shape[1:]:
            continue
        dim = argument(join, 1, "dim", 0) % len(shape)
        if shape[dim] != total:
            continue
        sides = [shapes[entry][dim] for entry in join.args[0]]  # type: ignore[union-attr, index]
        longest = max(range(len(sides)), key=lambda place: sides[place])
        if len(sides) > 1 and sides[longest] > 1 and total - sides[longest] <= MOST_EXTRA < 2 * total:
            return sum(sides[:longest]), sides[longest]
    return 0, total


@dataclass(frozen=True, eq=False)
class GridOf:
    """``node`` holds the same positions as a map; ``axes`` are its two or three spatial axes."""

    node: Node
    axes: tuple[int, ...]


def grid_of(features: Node, count: int, shapes: Shapes) -> GridOf | None:
    """Where the ``count`` positions last were a map that was then laid flat, row-major; None without such a place."""
    when = order(features.graph)
    for node in sorted(ancestors([features]), key=lambda node: -when[node]):
        source = node.args[0] if node.op == "call_function" and node.args else None
        if name_of(node) not in ("flatten", "reshape", "view") or not isinstance(source, Node):
            continue
        before, after = shapes.get(source), shapes.get(node)
        if not isinstance(before, tuple) or not isinstance(after, tuple) or len(after) < 3:
            continue
        for spatial in (2, 3):
            if len(before) < spatial + 2:
                continue
            last, inner = len(before) - 1, len(before) - spatial
            if prod(before[inner:]) == count == after[-1] and before[inner - 1] == after[-2]:
                return GridOf(source, tuple(range(inner, last + 1)))  # (..., C, *S) laid flat as (..., C, P)
            if prod(before[inner - 1 : last]) == count == after[-2] and before[last] == after[-1]:
                return GridOf(source, tuple(range(inner - 1, last)))  # (..., *S, C) laid flat as (..., P, C)
    return None
