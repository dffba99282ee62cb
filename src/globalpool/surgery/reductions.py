"""Which operations of a traced graph pool: they sum over positions of one tensor with weights that add up to a map."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Literal

from torch.fx import Node

from globalpool.surgery.nodes import Shapes, args_of, argument, axes_of, name_of
from globalpool.surgery.position_steps import before_steps

Kind = Literal["mean", "sum", "max", "grid", "weighted", "every"]


@dataclass(frozen=True, eq=False)
class Reduction:
    """``node`` pools ``features`` over its axes ``axes``.

    ``kind`` "grid" has ``bins``; "weighted" has ``weights``, a node that broadcasts as ``(*, Q, L)`` over the matrix
    product, or ``attention``, the call whose softmax gives them; "every": each position is a region of its own and
    ``node`` is ``features`` itself. ``steps``: what happens to single positions in between (``position_steps``).
    """

    node: Node
    features: Node
    axes: tuple[int, ...]
    kind: Kind
    bins: tuple[int, ...] = ()
    weights: Node | None = None
    steps: tuple[Node, ...] = ()


def recognise(node: Node, shapes: Shapes, depends: set[Node]) -> Reduction | None:
    """The pooling this node does over at least two positions, or None."""
    if name_of(node) == "getitem":
        return _values(node, shapes, depends)
    rule = RULES.get(name_of(node))
    found = None if rule is None else rule(node, shapes, depends)
    if found is None or found.features not in depends:
        return None
    shape = shapes[found.features]
    rest = [side for axis, side in enumerate(shape) if axis and axis not in found.axes]
    if 0 in found.axes or prod(shape[axis] for axis in found.axes) < 2 or prod(rest) < 2 or len(found.axes) > 3:
        return None
    return found


def recognise_flat(node: Node, shapes: Shapes, depends: set[Node]) -> Reduction | None:
    """Every position by itself: a map laid out flat, or a convolution as large as its map."""
    source = node.args[0] if node.args else None
    if not isinstance(source, Node) or source not in depends or not isinstance(shapes.get(source), tuple):
        return None
    shape, after = shapes[source], shapes.get(node)
    if not 3 <= len(shape) <= 5 or prod(shape[2:]) < 2 or shape[1] < 2 or not isinstance(after, tuple):
        return None
    flat = name_of(node) in ("flatten", "view", "reshape") and after == (shape[0], prod(shape[1:]))
    if not flat and not (name_of(node) in ("conv1d", "conv2d", "conv3d") and prod(after[2:]) == 1):
        return None
    return Reduction(source, source, tuple(range(2, len(shape))), "every")


def _values(node: Node, shapes: Shapes, depends: set[Node]) -> Reduction | None:
    """The first result of a maximum that also tells where it was."""
    parent, place = args_of(node)[:2]
    source = args_of(parent)[0] if isinstance(parent, Node) and parent.args else None
    if place != 0 or source not in depends or not isinstance(shapes.get(source), tuple):
        return None
    name, rank = name_of(parent), len(shapes[source])
    if name == "max" and len(parent.args) > 1 and rank > 2:
        found = Reduction(node, source, axes_of(argument(parent, 1, "dim"), rank), "max")
    elif name.startswith("adaptive_max_pool") and prod(shapes[node][2:]) == 1:
        found = Reduction(node, source, tuple(range(2, rank)), "max")
    else:
        return None
    return found if 0 not in found.axes and prod(shapes[source][axis] for axis in found.axes) > 1 else None


def _mean(node: Node, shapes: Shapes, depends: set[Node]) -> Reduction | None:
    source = node.args[0]
    assert isinstance(source, Node)
    shape = shapes.get(source)
    if not isinstance(shape, tuple) or len(shape) < 3:
        return None
    dims = axes_of(argument(node, 1, "dim"), len(shape))
    kind: Kind = {"mean": "mean", "sum": "sum", "amax": "max"}[name_of(node)]  # type: ignore[assignment]
    if kind == "max":
        return Reduction(node, source, dims, kind)
    features, steps = before_steps(source, dims, shapes, depends)
    return Reduction(node, features, dims, kind, steps=steps)


def _adaptive(spatial: int) -> Callable[[Node, Shapes, set[Node]], Reduction | None]:
    def rule(node: Node, shapes: Shapes, depends: set[Node]) -> Reduction | None:
        source = node.args[0]
        assert isinstance(source, Node)
        shape, after = shapes[source], shapes[node]
        if len(shape) != spatial + 2 or not isinstance(after, tuple):
            return None
        axes, bins = tuple(range(2, 2 + spatial)), tuple(after[2:])
        if prod(bins) > 1:
            return Reduction(node, source, axes, "grid", bins)
        features, steps = before_steps(source, axes, shapes, depends)
        return Reduction(node, features, axes, "mean", steps=steps)

    return rule


def _whole_window(spatial: int, kind: Kind) -> Callable[[Node, Shapes, set[Node]], Reduction | None]:
    def rule(node: Node, shapes: Shapes, depends: set[Node]) -> Reduction | None:
        source = node.args[0]
        assert isinstance(source, Node)
        shape = shapes[source]
        window = argument(node, 1, "kernel_size")
        window = [window] * spatial if isinstance(window, int) else list(window)
        window = window * spatial if len(window) == 1 else window
        sides = [shapes[side] if isinstance(side, Node) else side for side in window]
        if len(shape) != spatial + 2 or sides != list(shape[2:]) or prod(shapes[node][2:]) != 1:
            return None
        axes = tuple(range(2, 2 + spatial))
        features, steps = before_steps(source, axes, shapes, depends) if kind == "mean" else (source, ())
        return Reduction(node, features, axes, kind, steps=steps)

    return rule


def _attention(node: Node, shapes: Shapes, depends: set[Node]) -> Reduction | None:
    value = node.args[2]
    assert isinstance(value, Node)
    if argument(node, 5, "is_causal", False) or argument(node, 7, "enable_gqa", False):
        return None
    rank = len(shapes[value])
    return Reduction(node, value, (rank - 2,), "weighted") if rank in (3, 4) else None


def _product(node: Node, shapes: Shapes, depends: set[Node]) -> Reduction | None:
    weights, value = node.args[:2]
    if not isinstance(weights, Node) or not isinstance(value, Node) or value not in depends:
        return None
    left, right = shapes.get(weights), shapes.get(value)
    if (
        not isinstance(left, tuple)
        or not isinstance(right, tuple)
        or len(right) not in (3, 4)
        or len(left) != len(right)
    ):
        return None
    return Reduction(node, value, (len(right) - 2,), "weighted", weights=weights)


RULES: dict[str, Callable[[Node, Shapes, set[Node]], Reduction | None]] = {
    "mean": _mean,
    "sum": _mean,
    "amax": _mean,
    "scaled_dot_product_attention": _attention,
    "matmul": _product,
    "bmm": _product,
    **{f"adaptive_avg_pool{d}d": _adaptive(d) for d in (1, 2, 3)},
    **{f"avg_pool{d}d": _whole_window(d, "mean") for d in (1, 2, 3)},
    **{f"max_pool{d}d": _whole_window(d, "max") for d in (1, 2, 3)},
}
