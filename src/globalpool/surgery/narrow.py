"""Chosen tokens alone: ``x[:, 0]`` of the last block is computed from what reaches token 0, not from all tokens.

The selection is moved up the graph until the last attention, whose single row of weights then is a pool.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch.fx import Graph, Node

from globalpool.evidence.gates import ACTIVATIONS
from globalpool.surgery.nodes import Shapes, ancestors, argument, aten, axes_of, functional, name_of, order
from globalpool.surgery.tail_inputs import CLAMPS, IDENTITIES, SUMS

POINTWISE = SUMS | IDENTITIES | CLAMPS | set(ACTIVATIONS) | {"mul", "div"}


def narrow_selection(graph: Graph, selection: Node, shapes: Shapes, depends: set[Node]) -> set[str]:
    """Rewrite ``selection`` (a select or short slice of tokens); names of selections that cannot be moved further."""
    source = selection.args[0]
    assert isinstance(source, Node)
    above = ancestors([source])
    when = order(graph)
    attention = max((n for n in above if _attends(n, shapes, depends)), key=lambda n: when[n], default=None)
    if attention is None:
        return {selection.name}
    keys = attention.args[1:3] if name_of(attention) == "scaled_dot_product_attention" else attention.args[1:2]
    whole = ancestors(key for key in keys if isinstance(key, Node))
    axis, start, length = selected(selection, shapes)
    if source in whole:
        return {selection.name}
    narrow = _Narrow(graph, shapes, whole, start, length)
    with graph.inserting_before(selection):
        few = narrow.of(source, axis)
        new = graph.call_function(aten.select.int, (few, axis, 0)) if name_of(selection) == "select" else few
    new.meta = dict(selection.meta)
    selection.replace_all_uses_with(new)
    graph.eliminate_dead_code()
    return {new.name, *(node.name for node in narrow.cuts)}


def selected(node: Node, shapes: Shapes) -> tuple[int, int, int]:
    """``(axis, start, length)`` of a select or slice."""
    source = node.args[0]
    shape = shapes[source]  # type: ignore[index]
    axis = (argument(node, 1, "dim", 0) or 0) % len(shape)
    start = argument(node, 2, "index" if name_of(node) == "select" else "start", 0) or 0
    start = start if isinstance(start, int) else shapes[start]
    start = start + shape[axis] if start < 0 else start
    return axis, start, 1 if name_of(node) == "select" else shapes[node][axis]


def is_selection(node: Node, shapes: Shapes) -> bool:
    """Whether the node takes some of several tokens: one axis of at least two beside samples and channels."""
    if name_of(node) not in ("select", "slice") or not isinstance(node.args[0], Node):
        return False
    shape = shapes.get(node.args[0])
    if not isinstance(shape, tuple) or len(shape) < 3 or argument(node, 4, "step", 1) != 1:
        return False
    axis, _, length = selected(node, shapes)
    return axis != 0 and length < shape[axis]


def _attends(node: Node, shapes: Shapes, depends: set[Node]) -> bool:
    if name_of(node) == "scaled_dot_product_attention":
        return not argument(node, 5, "is_causal", False)
    if name_of(node) not in ("matmul", "bmm"):
        return False
    return all(isinstance(arg, Node) and arg in depends and len(shapes[arg]) > 2 for arg in node.args[:2])


@dataclass(eq=False)
class _Narrow:
    graph: Graph
    shapes: Shapes
    whole: set[Node]
    start: int
    length: int
    done: dict[tuple[Node, int, int], Node] = field(default_factory=dict)
    cuts: list[Node] = field(default_factory=list)

    def of(self, node: Node, axis: int, start: int | None = None) -> Node:
        """The node's value at the chosen places of one of its axes."""
        start = self.start if start is None else start
        key = (node, axis, start)
        if key not in self.done:
            new = None if node in self.whole or node.op != "call_function" else self._rewritten(node, axis, start)
            if new is None:
                new = self.graph.call_function(aten.slice.Tensor, (node, axis, start, start + self.length))
                self.cuts.append(new)
            new.meta = dict(node.meta)
            self.done[key] = new
        return self.done[key]

    def _again(self, node: Node, *args: Any) -> Node:
        """The same operation on other leading arguments, never in place."""
        return self.graph.call_function(functional(node.target), (*args, *node.args[len(args) :]), node.kwargs)

    def _rewritten(self, node: Node, axis: int, start: int) -> Node | None:
        name, shape = name_of(node), self.shapes[node]
        source = node.args[0] if node.args else None
        rank = len(shape)
        if name in POINTWISE:
            return self._again(node, *(self._aligned(arg, rank, axis, shape[axis], start) for arg in node.args[:2]))
        if name in ("cat", "concat"):
            return self._cat(node, axis, start)
        if not isinstance(source, Node) or not isinstance(self.shapes.get(source), tuple):
            return self._of_several(node, axis, start) if name == "getitem" else None
        before = self.shapes[source]
        if name in ("layer_norm", "rms_norm") and axis < rank - len(argument(node, 1, "normalized_shape")):
            return self._again(node, self.of(source, axis, start))
        if name == "linear" and axis < rank - 1:
            return self._again(node, self.of(source, axis, start))
        if name == "softmax" and axis != argument(node, 1, "dim") % rank:
            return self._again(node, self.of(source, axis, start))
        if name in ("transpose", "permute", "swapaxes"):
            return self._again(node, self.of(source, self._moved(node, name, axis, rank), start))
        if name in ("slice", "select"):
            return self._cut(node, name, source, axis, start)
        if name in ("reshape", "view", "_unsafe_view"):
            return self._reshaped(node, source, before, shape, axis, start)
        if name in ("flatten", "unflatten"):
            return self._folded(node, name, source, before, rank, axis, start)
        if name == "unsqueeze":
            at = argument(node, 1, "dim") % rank
            return None if axis == at else self._again(node, self.of(source, axis - (axis > at), start))
        if name == "squeeze" and len(node.args) > 1:
            gone = axes_of(node.args[1], len(before))
            kept = [place for place in range(len(before)) if not (place in gone and before[place] == 1)]
            return self._again(node, self.of(source, kept[axis], start))
        if name == "scaled_dot_product_attention" and axis == rank - 2:
            return self._attention(node, source, rank, axis, start)
        if name in ("matmul", "bmm") and axis == rank - 2 and len(before) == rank:
            return self._product(node, self.of(source, axis, start))
        return None

    def _aligned(self, arg: Any, rank: int, axis: int, side: int, start: int) -> Any:
        """A broadcast argument at the chosen places, where it has the axis at all."""
        shape = self.shapes.get(arg) if isinstance(arg, Node) else None
        if not isinstance(shape, tuple):
            return arg
        own = axis - (rank - len(shape))
        return self.of(arg, own, start) if own >= 0 and shape[own] == side else arg

    def _cat(self, node: Node, axis: int, start: int) -> Node | None:
        entries, dim = node.args[0], argument(node, 1, "dim", 0) % len(self.shapes[node])
        assert isinstance(entries, list | tuple)
        if dim != axis:
            return self._again(node, [self.of(entry, axis, start) for entry in entries])  # type: ignore[arg-type]
        for entry in entries:
            side = self.shapes[entry][axis]  # type: ignore[index]
            if start < side:
                fits = start + self.length <= side
                if fits and self.length == side:
                    return self.graph.call_function(aten.alias.default, (entry,))
                return self.of(entry, axis, start) if fits else None  # type: ignore[arg-type]
            start -= side
        return None

    def _cut(self, node: Node, name: str, source: Node, axis: int, start: int) -> Node:
        dim, first, _ = selected(node, self.shapes)
        if name == "slice" and dim == axis:
            return self.of(source, axis, start + first)
        own = axis + (name == "select" and axis >= dim)
        return self._again(node, self.of(source, own, start))

    def _reshaped(
        self, node: Node, source: Node, before: tuple[int, ...], shape: tuple[int, ...], axis: int, start: int
    ) -> Node | None:
        same = [a for a in range(len(before)) if before[a] == shape[axis] and prod(before[:a]) == prod(shape[:axis])]
        if not same:
            return None
        sizes = list(node.args[1])  # type: ignore[arg-type]
        sizes[axis] = self.length
        return self._again(node, self.of(source, same[-1], start), sizes)

    def _product(self, node: Node, few: Node) -> Node:
        """``q (k v)`` of linear attention is ``(q k) v``: only so are there weights over positions."""
        inner = node.args[1]
        while isinstance(inner, Node) and name_of(inner) in IDENTITIES:
            inner = inner.args[0]
        if (
            not isinstance(inner, Node)
            or name_of(inner) != "matmul"
            or not all(isinstance(a, Node) for a in inner.args)
        ):
            return self._again(node, few)
        weights = self.graph.call_function(aten.matmul.default, (few, inner.args[0]))
        return self.graph.call_function(aten.matmul.default, (weights, inner.args[1]))

    def _folded(
        self, node: Node, name: str, source: Node, before: tuple[int, ...], rank: int, axis: int, start: int
    ) -> Node | None:
        """Other axes laid together or taken apart."""
        first = argument(node, 1, "start_dim" if name == "flatten" else "dim", 0)
        more = len(before) - rank
        first = first % len(before)
        if axis < first:
            return self._again(node, self.of(source, axis, start))
        last = first - min(more, 0)  # the last axis of the result that the operation made
        return None if axis <= last else self._again(node, self.of(source, axis + more, start))

    def _attention(self, node: Node, query: Node, rank: int, axis: int, start: int) -> Node:
        few = self.of(query, axis, start)
        mask = argument(node, 3, "attn_mask")
        if not isinstance(mask, Node):
            return self._again(node, few)
        mask = self._aligned(mask, rank, axis, self.shapes[query][axis], start)
        keys = {name: value for name, value in node.kwargs.items() if name != "attn_mask"}
        return self.graph.call_function(node.target, (few, *node.args[1:3], mask, *node.args[4:]), keys)  # type: ignore[arg-type]

    def _of_several(self, node: Node, axis: int, start: int) -> Node | None:
        """One of several results: of unbind, chunk or split along another axis."""
        parent = node.args[0]
        if not isinstance(parent, Node) or not parent.args or not isinstance(parent.args[0], Node):
            return None
        name, source = name_of(parent), parent.args[0]
        if name not in ("unbind", "chunk", "split", "split_with_sizes") or parent in self.whole:
            return None
        dim = argument(parent, 1 if name == "unbind" else 2, "dim", 0) % len(self.shapes[source])
        own = axis + (name == "unbind" and axis >= dim)
        if own == dim:
            return None
        return self._again(node, self._again(parent, self.of(source, own, start)))

    @staticmethod
    def _moved(node: Node, name: str, axis: int, rank: int) -> int:
        if name == "permute":
            moved: int = argument(node, 1, "dims")[axis] % rank
            return moved
        a, b = argument(node, 1, "dim0") % rank, argument(node, 2, "dim1") % rank
        return b if axis == a else a if axis == b else axis
