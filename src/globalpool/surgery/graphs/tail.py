"""The tail of a graph network, cut out of its trace, as the held steps it is made of."""

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from globalpool.errors import AdoptionError
from globalpool.surgery.capture import export_flat
from globalpool.surgery.find import output_of
from globalpool.surgery.nodes import dependent, descendants, functional, order, where
from globalpool.surgery.tail_inputs import linear_inputs
from globalpool.surgery.traced_tail import TracedTail


def traced_tail(tail: GraphModule, vectors: Tensor, sides: tuple[Tensor, ...]) -> TracedTail:
    """``tail(vectors (N, F), *sides)`` as a tail that holds; AdoptionError for an operation without a rule."""
    samples = vectors.shape[0]
    examples = tuple(torch.cat([v, v]) if samples == 1 and v.ndim else v for v in (vectors, *sides))
    axes = tuple({0: torch.export.Dim.AUTO} if value.ndim else {} for value in examples)
    try:
        module, _ = export_flat(tail, examples, axes)
    except AdoptionError:
        raise
    except Exception as error:  # any failure of the tracer means the same here, and is told
        text = str(error).strip().splitlines()
        got = f"{type(error).__name__}: {text[0] if text else ''}"[:300]
        hint = "Control flow that reads tensor values is the usual cause."
        raise AdoptionError("adopt", "a tail that torch.export can trace in eval mode", got, hint) from error
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    for node in reversed(inputs):
        first = next(iter(module.graph.nodes))
        if first is not node:
            first.prepend(node)  # the vectors are the first line of a tail
    for node in module.graph.nodes:
        if node.op == "call_function":
            node.target = functional(node.target)
    module.recompile()
    return TracedTail(module, _live(module), len(sides), bool(sides))


def _live(module: GraphModule) -> dict[str, tuple[str, ...]]:
    """The linear inputs of every operation between the vectors and the logits, by name."""
    start = next(iter(module.graph.nodes))
    reached = descendants([start]) | {start}
    depends, when = dependent(module.graph), order(module.graph)
    found: dict[str, tuple[str, ...]] = {}
    obstacles: list[Node] = []
    waiting, seen = [output_of(module)], set()
    while waiting:
        node = waiting.pop()
        if node is start or node in seen:
            continue
        seen.add(node)
        sources: Any = linear_inputs(node, depends) if node.op == "call_function" else None
        sources = [source for source in sources or () if source in reached]
        if not sources:
            obstacles.append(node)
            continue
        found[node.name] = tuple(dict.fromkeys(source.name for source in sources))
        waiting.extend(sources)
    if obstacles:
        met = ", then ".join(where(node) for node in sorted(obstacles, key=lambda node: -when[node])[:3])
        raise AdoptionError(
            "adopt",
            "a tail of linear layers, norms, activations and reshaping after the readout",
            f"going back from the logits: {met}",
            "This operation has no rule as part of a tail.",
        )
    return found
