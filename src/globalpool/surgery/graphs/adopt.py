"""``adopt`` for networks over graphs: traced, cut at the readout, proven."""

from collections.abc import Mapping, Sequence
from inspect import BoundArguments
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from globalpool.errors import AdoptionError, GlobalPoolError
from globalpool.evidence.record import TOLERANCES
from globalpool.surgery.graphs.call_form import CallForm, call_form
from globalpool.surgery.graphs.classifier import GraphClassifier
from globalpool.surgery.graphs.cut import cut_graph
from globalpool.surgery.graphs.find import LastReadouts, Values, check_logits, find_readouts
from globalpool.surgery.graphs.more import CHANGES, fresh, is_data, more_graphs
from globalpool.surgery.graphs.readouts import rewrite_readouts
from globalpool.surgery.graphs.tail import traced_tail
from globalpool.surgery.graphs.trace import trace_graph_model
from globalpool.surgery.prove import both, compare
from globalpool.surgery.shared_copy import shared_copy


def is_graph_example(example: object) -> bool:
    """Whether the example is a graph, a batch of graphs, or the several arguments of a model."""
    return is_data(example) or isinstance(example, tuple | Mapping)


def adopt_graph(model: nn.Module, example: Any) -> GraphClassifier:
    """Trunk, pool and tail of a network over graphs; ``example`` as for ``adopt``."""
    args, kwargs = _arguments(example)
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        hint = "Call the model once."
        raise AdoptionError("adopt", "a model whose parameters have their sizes", "lazy layers", hint)
    twin = shared_copy(model).eval()
    form = call_form(twin, args, kwargs)
    values = form.values(args, kwargs)
    with torch.no_grad():
        _ran(twin, form, values)
        traced, opaque = trace_graph_model(twin, form)
        traced.eval()
        rewrite_readouts(traced)
        runner = Values(traced)
        logits = check_logits(runner.run(*fresh(values)), traced)
        found = find_readouts(traced, runner.found, opaque)
        samples = runner.found[found.readouts[0].node].shape[0]
        if logits.shape[0] != samples:
            hint = "Return logits of graphs, not of nodes."
            expected = f"a model that gives logits (N, K) of the {samples} graphs read out"
            raise AdoptionError("adopt", expected, str(tuple(logits.shape)), hint)
        parts = cut_graph(traced, found, runner.found, samples)
        classifier = GraphClassifier(parts.trunk, parts.pool, nn.Identity(), found.also, form).eval()
        vectors = _vectors(classifier, parts.tail, form.bind(fresh(values)))
        sides = tuple(runner.found[side] for side in parts.sides)
        _check_alone(parts.tail, vectors, sides)
        classifier.tail = traced_tail(parts.tail, vectors, sides).eval()
        _prove(classifier, twin, form, values, found, samples)
    return classifier


def _arguments(example: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if isinstance(example, Mapping):
        return (), example
    if not isinstance(example, tuple):
        return (example,), {}
    return (example[:-1], example[-1]) if example and isinstance(example[-1], Mapping) else (example, {})


def _vectors(classifier: GraphClassifier, tail: nn.Module, call: BoundArguments) -> Tensor:
    features, layout, pool, _ = classifier.opened(*call.args, **call.kwargs)
    try:
        vectors: Tensor = pool(features, **layout)
    except GlobalPoolError as error:
        expected = f"nodes at the readout with {error.expected}"
        raise AdoptionError("adopt", expected, error.got, error.hint) from error
    first = next(tail.parameters(), None)
    return vectors if first is None else vectors.to(first.dtype)


def _check_alone(tail: nn.Module, vectors: Tensor, sides: tuple[Tensor, ...]) -> None:
    """Raise where the logits of a graph depend on which others are in its batch."""
    together: Tensor = tail(vectors, *sides)
    first = torch.zeros(vectors.shape[0], dtype=torch.long, device=vectors.device)
    repeated: Tensor = tail(vectors[first], *(side[first] if side.ndim else side for side in sides))
    scale = together[:1].abs().amax().clamp(min=1)
    if not bool((repeated - together[:1]).abs().amax() <= TOLERANCES[together.dtype] * scale):
        hint = "A norm over the batch is the usual cause: LayerNorm or GraphNorm of torch_geometric, without its batch."
        got = "logits of a graph that change with the others of its batch"
        raise AdoptionError("adopt", "a tail that treats each graph by itself", got, hint)


def _ran(model: nn.Module, form: CallForm, values: Sequence[Any]) -> Any:
    bound = form.bind(fresh(values))
    try:
        return model(*bound.args, **bound.kwargs)
    except Exception as error:
        text = str(error).strip().splitlines()
        got = f"{type(error).__name__}: {text[0].rstrip('.') if text else ''}"[:300]
        raise AdoptionError("adopt", "an example that the model takes", got) from error


def _prove(
    classifier: GraphClassifier,
    model: nn.Module,
    form: CallForm,
    values: Sequence[Any],
    found: LastReadouts,
    samples: int,
) -> None:
    """Compare with the model on the example, and on it together with other graphs made of it; sets ``proof``."""

    def tried(inputs: Sequence[Any]) -> Any:
        bound, again = form.bind(fresh(inputs)), form.bind(fresh(inputs))
        shape = tuple(form_features(classifier, form, inputs))
        return compare(
            lambda: model(*bound.args, **bound.kwargs),
            lambda: classifier(*again.args, **again.kwargs),
            lambda classes: classifier.evidence(*again.args, classes=classes, **again.kwargs),
            shape,
        )

    batch = found.readouts[0].batch
    name = str(batch.target) if batch is not None and batch.op == "placeholder" else None
    proof = tried(values)
    for change in CHANGES:
        try:
            others = more_graphs(values, None if name is None else form.inputs.index(name), samples, change)
            _ran(model, form, others)
        except Exception:  # features that mean something else when turned, an input nobody knows how to repeat
            continue
        classifier.proof = both(proof, tried(others))
        return
    kinds = ", ".join(type(value).__name__ for value in values)
    hint = "Give the graphs as a Batch, or edges as edge_index (2, E) and nodes as tensors (T, ...)."
    raise AdoptionError("adopt", "an example that other graphs can be made of, to compare with the model", kinds, hint)


def form_features(classifier: GraphClassifier, form: CallForm, inputs: Sequence[Any]) -> Sequence[int]:
    """The shape of the features for these inputs."""
    bound = form.bind(fresh(inputs))
    return classifier.features(*bound.args, **bound.kwargs).shape
