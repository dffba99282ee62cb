"""``adopt``: any classifier as trunk, pool and tail, with the same logits, proven before it returns."""

from collections.abc import Mapping
from typing import Any, overload

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.errors import AdoptionError
from globalpool.evidence import evaluating
from globalpool.pools import Concat, Grid, Max, Mean, Pool, Sum
from globalpool.surgery.adopted import AdoptedClassifier, Alone, Carried
from globalpool.surgery.apart import SECONDS, Apart, take_apart
from globalpool.surgery.graphs.adopt import adopt_graph, is_graph_example
from globalpool.surgery.graphs.classifier import GraphClassifier
from globalpool.surgery.nodes import Shapes
from globalpool.surgery.prove import prove
from globalpool.surgery.reductions import Reduction
from globalpool.surgery.shared_copy import shared_copy
from globalpool.surgery.traced_tail import TracedTail, linear_layer


@overload
def adopt(model: nn.Module, example_input: Tensor, *, seconds: float = SECONDS) -> AdoptedClassifier: ...
@overload
def adopt(
    model: nn.Module, example_input: tuple[Any, ...] | Mapping[str, Any], *, seconds: float = SECONDS
) -> GraphClassifier: ...
def adopt(model: nn.Module, example_input: Any, *, seconds: float = SECONDS) -> AdoptedClassifier:
    """Trunk, pool and tail of ``model``, found by tracing what happens between its features and its logits.

    ``model`` maps one tensor ``(N, ...)`` to logits ``(N, K)``; ``example_input`` is a valid input with N >= 1. The
    result speaks of eval mode and shares the model's parameters; the model itself is not changed. Before it returns,
    logits and evidence are compared with the model on the example, at a larger batch and, where the model accepts
    one, at a second input size (``.proof``). Tracing with sizes left open may take ``seconds`` (processor time of
    this thread); where that is not enough, the result takes inputs of the example's size only.

    A network over graphs takes a ``Data`` or ``Batch`` of torch_geometric as its example, or a tuple of the arguments
    of its forward (``(x, edge_index, batch)``; a dict for those by name, alone or at the end). The result is a
    ``GraphClassifier``, called as the model is; its positions are the nodes that are read out.
    Raises AdoptionError naming the operation that stood in the way.
    """
    if is_graph_example(example_input):
        return adopt_graph(model, example_input)
    if not isinstance(example_input, Tensor) or example_input.ndim < 2 or not example_input.shape[0]:
        raise AdoptionError(
            "adopt",
            "`example_input` as a tensor (N, ...) with at least one sample",
            str(type(example_input)),
            "A network over graphs takes a Data, a Batch, or a tuple of its arguments.",
        )
    if isinstance(model, PooledClassifier) and type(model).forward is PooledClassifier.forward:
        return _own(model, example_input)
    with evaluating(model), torch.no_grad():
        apart = take_apart(model, example_input, seconds)
        classifier = _build(apart)
        classifier.eval()
        prove(classifier, model, apart.example, apart.varying)
    return classifier


def _build(apart: Apart) -> AdoptedClassifier:
    parts = apart.parts
    if parts.carried:
        pool: Pool = Carried(sum(slot.regions for slot in parts.slots), affine=parts.fixed_weights)
    else:
        pools = [_pool(reduction, apart.shapes) for reduction in apart.found.pools]
        pool = pools[0] if len(pools) == 1 else Concat(*pools)
    layer = linear_layer(parts)
    tail = TracedTail(parts.tail, parts.live, parts.sides, parts.varied) if layer is None else layer
    return AdoptedClassifier(parts.trunk, pool, tail, apart.found.also, gated_maps=apart.gated_maps)


def _own(model: PooledClassifier, example: Tensor) -> AdoptedClassifier:
    """A classifier of ours is taken apart already: its own modules, in eval mode, with the same parameters."""
    twin: Any = shared_copy(model).eval()
    classifier = AdoptedClassifier(Alone(twin.trunk), twin.pool, twin.tail, ())
    classifier.labels, classifier.input_spec, classifier.resolution = model.labels, model.input_spec, model.resolution
    with evaluating(model), torch.no_grad():
        prove(classifier.eval(), model, example.detach(), tuple(range(2, example.ndim)))
    classifier.fixed = ()  # the trunk is the user's own and takes what it takes
    return classifier


def _pool(reduction: Reduction, shapes: Shapes) -> Pool:
    if reduction.kind == "grid":
        return Grid(*reduction.bins, partition="torch")
    if reduction.kind == "every":
        shape = shapes[reduction.features]
        return Grid(*(shape[axis] for axis in reduction.axes), partition="torch")
    if reduction.kind == "max":
        return Max()
    return Mean() if reduction.kind == "mean" else Sum()
