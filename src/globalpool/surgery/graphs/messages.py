"""What the steps of a traced graph network are called in messages."""

from torch.fx import GraphModule, Node

from globalpool.surgery.graphs.readouts import KNOWN, read_out
from globalpool.surgery.nodes import order

HINT = f"Return logits made of one vector a graph. {KNOWN}"


def place(module: GraphModule, node: Node) -> str:
    """``GCNConv (conv2)`` or ``mean readout (read_out_1)``, for messages."""
    if node.op == "call_module":
        return f"{type(module.get_submodule(str(node.target))).__name__} ({node.target})"
    if node.target is read_out:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        return f"{node.args[0]} readout ({stack[-1][0] if stack else node.name})"
    return f"{getattr(node.target, '__name__', node.target)} ({node.name})"


def is_aggregation(module: GraphModule, node: Node) -> bool:
    """Whether the node is an aggregation module that has no rule as a readout."""
    part = module.get_submodule(str(node.target)) if node.op == "call_module" else None
    return part is not None and any(kind.__name__ == "Aggregation" for kind in type(part).__mro__)


def met(module: GraphModule, passed: set[Node], opaque: dict[str, str]) -> str:
    """What was passed on the way back from the logits, where no readout with a rule was found."""
    when = order(module.graph)
    last = sorted(passed, key=lambda node: -when[node])
    pools = [place(module, node) for node in last if is_aggregation(module, node)]
    if pools:
        return f"{', '.join(pools)}, which is not a sum of the nodes under weights of its own"
    calls = [node for node in last if node.op in ("call_module", "call_function", "call_method")]
    names = ", then ".join(place(module, node) for node in calls[:3]) or "nothing"
    hidden = [f"{path} could not be looked into ({why})" for path, why in opaque.items()]
    return "; ".join([f"none going back from the logits: {names}", *hidden])
