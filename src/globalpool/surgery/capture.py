"""A model as the flat list of operations it really ran: a graph of ATen calls that shares the model's parameters."""

import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Interpreter, Node
from torch.overrides import TorchFunctionMode

from globalpool.errors import AdoptionError
from globalpool.evidence import evaluating

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Captured:
    """``module``: one input, one output, the model's own parameters and buffers; sizes that vary are symbols in it.

    ``varying``: axes of the input, beside the samples, whose length the graph leaves open.
    """

    module: GraphModule
    varying: tuple[int, ...]


class _Deadline(TorchFunctionMode):
    """Stops what runs in it after so many seconds of this thread's time: symbols of sizes can grow without end."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.end = time.thread_time() + seconds

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if time.thread_time() > self.end:
            raise TimeoutError("tracing with open sizes took too long")
        return func(*args, **(kwargs or {}))


def capture(model: nn.Module, example: Tensor, seconds: float) -> Captured:
    """The evaluation graph of ``model`` at ``example``, whose first axis counts at least two samples.

    Sizes stay open where the tracer can follow them within ``seconds``; otherwise only the number of samples does.
    """
    auto = torch.export.Dim.AUTO
    every, samples = dict.fromkeys(range(example.ndim), auto), {0: auto}
    failures = []
    limit: AbstractContextManager[object]
    for axes, limit in ((every, _Deadline(seconds)), (samples, nullcontext())):
        try:
            with limit:
                module, sizes = export_flat(model, (example,), (axes,))
        except AdoptionError:
            raise
        except Exception as error:  # any failure of the tracer means the same here, and is told
            failures.append(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
            continue
        varying = tuple(axis for axis in axes if axis and not isinstance(sizes[axis], int))
        return Captured(module, varying)
    raise AdoptionError(
        "adopt",
        "a model that torch.export can trace in eval mode from one tensor",
        failures[-1][:300],
        "Control flow that reads tensor values is the usual cause.",
    )


def export_flat(
    model: nn.Module, examples: tuple[Tensor, ...], axes: tuple[dict[int, Any], ...]
) -> tuple[GraphModule, tuple[Any, ...]]:
    """The evaluation graph of ``model(*examples)``, ``axes`` of each left open, and the sizes of its last input.

    Raises what the exporter raises, and AdoptionError where not one tensor is returned.
    """
    with warnings.catch_warnings(), evaluating(model), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(model, examples, dynamic_shapes=axes, strict=False)
        exported: Any = program.module(check_guards=False)
    graph = Graph()
    copied: dict[Node, Node] = {}
    found: Any = None
    sizes: tuple[Any, ...] = ()
    for node in exported.graph.nodes:
        if node.op == "output":
            found = node.args[0]
        elif node.op == "call_module":
            continue  # checks of the input that the exporter adds
        else:
            copied[node] = graph.node_copy(node, lambda old: copied[old])
            stack = node.meta.get(
                "nn_module_stack"
            )  # for messages; the tracer's other notes would keep its tensors alive
            copied[node].meta = {} if stack is None else {"nn_module_stack": stack}
            if node.op == "placeholder":
                sizes = tuple(node.meta["val"].shape)
    while isinstance(found, list | tuple) and len(found) == 1:
        found = found[0]
    if not isinstance(found, Node):
        got = f"{len(found)} values" if isinstance(found, list | tuple) else type(found).__name__
        raise AdoptionError(
            "adopt", "a model that returns one tensor of logits", got, "Wrap it: return the logits alone."
        )
    graph.output(copied[found])
    return GraphModule(exported, graph), sizes


class _Shapes(Interpreter):
    """Runs a graph once and notes what every node's value looks like."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.found: dict[Node, Any] = {}
        self.last: Any = None

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        self.found[n] = tuple(value.shape) if isinstance(value, Tensor) else value if isinstance(value, int) else None
        if n.op == "output":
            self.last = value
        return value


def look(module: GraphModule, example: Tensor) -> tuple[dict[Node, Any], Tensor]:
    """The shape (or integer) of every node's value at ``example``, None for others; and the output."""
    runner = _Shapes(module)
    with torch.no_grad():
        runner.run(example)
    return runner.found, runner.last
