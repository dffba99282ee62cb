"""The part of a model before its last pooling, as a network of its own that shares the model's parameters."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node, symbolic_trace

from globalpool.evidence import evaluating
from globalpool.surgery.apart import take_apart
from globalpool.surgery.shared_copy import shared_copy

#: Heights of waves at which, beside the example, a module's result must be the features: at the example alone, an
#: activation that clips nothing there could not be told from none.
PROBES = (3.0, 300.0)


@dataclass(frozen=True, eq=False)
class FeatureTrunk:
    """``trunk(x)``: features ``(N, C, *S)``, ``channels`` of them, ``spatial`` their lengths at the example.

    ``made_of`` "modules": the model's own modules in the order its forward calls them, so that modes work as in the
    model; "operations": the operations of one pass in eval mode, where that is not possible (and on the meta device,
    where there are no values to recognise the features by). ``old_head``: the parameters used after the features.
    """

    trunk: nn.Module
    made_of: Literal["modules", "operations"]
    channels: int
    spatial: tuple[int, ...]
    old_head: tuple[nn.Parameter, ...]


def feature_trunk(model: nn.Module, example: Tensor) -> FeatureTrunk:
    """What ``adopt`` finds before the last pooling of ``model``; raises AdoptionError as it does."""
    with evaluating(model), torch.no_grad():
        apart = take_apart(model, example)
        parts, example = apart.parts, apart.example
        operations = _features_alone(parts.trunk)
        spatial = tuple(operations(example).shape[2:])
    trunk = None if example.is_meta else _of_modules(model, operations, example)
    used = set(parts.tail.parameters())
    head = tuple(own for own in model.parameters() if own in used)  # in the model's order
    made_of: Literal["modules", "operations"] = "operations" if trunk is None else "modules"
    return FeatureTrunk(trunk or operations.train(model.training), made_of, parts.channels, spatial, head)


def _features_alone(traced: GraphModule) -> GraphModule:
    """The traced trunk without what pool and tail take from it beside the features."""
    (end,) = (node for node in traced.graph.nodes if node.op == "output")
    end.args = (end.args[0][0],)
    traced.graph.eliminate_dead_code()
    return GraphModule(traced, traced.graph)


def _of_modules(model: nn.Module, operations: nn.Module, example: Tensor) -> nn.Module | None:
    """The same features by the model's own modules, or None where its forward cannot be followed."""
    inputs = [example]
    if example.is_floating_point():
        wave = torch.arange(example.numel(), device=example.device).cos().reshape(example.shape).to(example.dtype)
        inputs += [wave * height for height in PROBES]
    try:
        twin = shared_copy(model)
        with evaluating(twin):
            traced = symbolic_trace(twin)
        with evaluating(traced), torch.no_grad():
            pairs = [(x, operations(x)) for x in inputs]
            nodes = [_Matching(traced, wanted).nodes(x) for x, wanted in pairs if wanted.isfinite().all()]
    except Exception:  # whatever stops the tracer: the operations do
        return None
    common = [node for node in (nodes or [{}])[0] if all(node in other for other in nodes[1:])]
    if not common:
        return None
    return _until(common[0], traced, model)


class _Matching(Interpreter):
    """Runs a graph and notes which nodes give the wanted value, before later ones overwrite it."""

    def __init__(self, module: GraphModule, wanted: Tensor) -> None:
        super().__init__(module)
        self.wanted, self.found = wanted.clone(), dict[Node, None]()

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        fits = isinstance(value, Tensor) and value.shape == self.wanted.shape and value.dtype == self.wanted.dtype
        if n.op != "output" and fits and torch.equal(value, self.wanted):
            self.found[n] = None
        return value

    def nodes(self, x: Tensor) -> dict[Node, None]:
        """The nodes, in the order they run."""
        self.run(x)
        return self.found


def _until(last: Node, traced: GraphModule, model: nn.Module) -> GraphModule:
    """The graph up to ``last``, with the modules it calls and no others, in the model's modes."""
    (end,) = (node for node in traced.graph.nodes if node.op == "output")
    end.args = (last,)
    traced.graph.eliminate_dead_code()
    trunk = GraphModule(traced, traced.graph)
    trunk.delete_all_unused_submodules()
    modes = {name: module.training for name, module in model.named_modules()}
    for name, module in trunk.named_modules():
        module.training = modes.get(name, model.training)
    return trunk
