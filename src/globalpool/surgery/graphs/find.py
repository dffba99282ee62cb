"""The last readouts of a traced graph network: walked back from the logits, and which of them share their nodes."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from globalpool.errors import AdoptionError
from globalpool.pools import Pool
from globalpool.surgery.find import output_of
from globalpool.surgery.graphs.messages import HINT, is_aggregation, met, place
from globalpool.surgery.graphs.readouts import read_out
from globalpool.surgery.nodes import descendants, order


@dataclass(frozen=True, eq=False)
class Readout:
    """One readout: ``features (T, C)`` over graphs told by ``batch`` or ``ptr`` and ``size``.

    ``kind`` is "sum", "mean", "max", "softmax" (of ``scores (T, 1 or C)``) or "pool", the globalpool pool ``pool``.
    """

    node: Node
    kind: str
    features: Node
    batch: Any
    ptr: Any
    size: Any
    scores: Node | None = None
    pool: Pool | None = None


@dataclass(frozen=True, eq=False)
class LastReadouts:
    """``readouts`` over the same nodes; ``tail``: what is computed from them on the way to the logits.

    ``also`` names readouts of other nodes that the logits use too: their part is in the offset.
    """

    readouts: tuple[Readout, ...]
    tail: frozenset[Node]
    also: tuple[str, ...]


class Values(Interpreter):
    """Runs a graph once and keeps the value of every node."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.found: dict[Node, Any] = {}

    def run_node(self, n: Node) -> Any:
        self.found[n] = value = super().run_node(n)
        return value


def find_readouts(module: GraphModule, values: dict[Node, Any], opaque: dict[str, str]) -> LastReadouts:
    """The last readouts and the tail; AdoptionError where the logits come from nodes without a readout."""
    when, end = order(module.graph), output_of(module)
    passed: set[Node] = set()
    readouts: list[Readout] = []
    waiting = [end]
    while waiting:
        node = waiting.pop()
        if node in passed or any(node is known.node for known in readouts):
            continue
        readout = _readout(module, node)
        if readout is None:
            passed.add(node)
            waiting.extend(node.all_input_nodes)
        else:
            readouts.append(readout)
    readouts.sort(key=lambda readout: when[readout.node])
    if not readouts:
        raise AdoptionError("adopt", "a readout from the nodes of each graph", met(module, passed, opaque), HINT)
    for readout in readouts:
        if values[readout.features].ndim != 2:
            got = f"{tuple(values[readout.features].shape)} at {place(module, readout.node)}"
            raise AdoptionError("adopt", "a readout of features (T, C)", got)
    last = _nodes_of(readouts[-1], values)
    same = tuple(readout for readout in readouts if _nodes_of(readout, values) == last)
    tail = descendants([readout.node for readout in same]) & passed
    tail = {node for node in tail if _reached(node, passed, {readout.node for readout in same})}
    others = [place(module, readout.node) for readout in readouts if readout not in same]
    others += [
        place(module, node)
        for node in sorted(passed - tail, key=lambda node: when[node])
        if is_aggregation(module, node)
    ]
    return LastReadouts(same, frozenset(tail), tuple(others))


def _readout(module: GraphModule, node: Node) -> Readout | None:
    args: Any = node.args
    if node.op == "call_function" and node.target is read_out:
        kind, features, batch, ptr, size, scores = args
        return Readout(node, kind, features, batch, ptr, size, scores)
    part = module.get_submodule(str(node.target)) if node.op == "call_module" else None
    if isinstance(part, Pool) and len(args) == 1 and set(node.kwargs) <= {"batch", "ptr", "size"}:
        batch, ptr, size = (node.kwargs.get(name) for name in ("batch", "ptr", "size"))
        return Readout(node, "pool", args[0], batch, ptr, size, pool=part)
    return None


def _nodes_of(readout: Readout, values: dict[Node, Any]) -> tuple[Any, ...]:
    """Equal for readouts of the same nodes of the same graphs."""
    return readout.batch, readout.ptr, readout.size, values[readout.features].shape[0]


def _reached(node: Node, passed: set[Node], starts: set[Node]) -> bool:
    """Whether a readout reaches the node by nodes that were passed on the way back from the logits."""
    waiting, seen = [node], {node}
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source in starts:
                return True
            if source in passed and source not in seen:
                seen.add(source)
                waiting.append(source)
    return False


def check_logits(logits: Any, module: GraphModule) -> Tensor:
    """The logits if they are one tensor (N, K); AdoptionError otherwise."""
    (end,) = (node for node in module.graph.nodes if node.op == "output")
    if not isinstance(end.args[0], Node) or not isinstance(logits, Tensor):
        got = f"{len(logits)} values" if isinstance(logits, list | tuple | dict) else type(logits).__name__
        raise AdoptionError(
            "adopt", "a model that returns one tensor of logits", got, "Wrap it: return the logits alone."
        )
    if logits.ndim != 2:
        hint = "Leave the axis of classes there, or flatten the output, first."
        raise AdoptionError("adopt", "a model that gives logits (N, K)", str(tuple(logits.shape)), hint)
    return logits
