"""``adopt``: any classifier as trunk, pool and tail, with the same logits, proven before it returns."""

import torch
from torch import Tensor, nn

from globalpool.errors import AdoptionError
from globalpool.evidence import evaluating
from globalpool.pools import Grid, Max, Mean, Pool, Sum
from globalpool.surgery.adopted import AdoptedClassifier, Carried, Joined
from globalpool.surgery.capture import capture, look
from globalpool.surgery.find import Found, narrow_until_found
from globalpool.surgery.prove import prove
from globalpool.surgery.reductions import Reduction, Shapes
from globalpool.surgery.rewrite import simplify
from globalpool.surgery.split import Cut, cut
from globalpool.surgery.tail_inputs import linear_inputs
from globalpool.surgery.traced_tail import TracedTail


def adopt(model: nn.Module, example_input: Tensor, *, seconds: float = 30.0) -> AdoptedClassifier:
    """Trunk, pool and tail of ``model``, found by tracing what happens between its features and its logits.

    ``model`` maps one tensor ``(N, ...)`` to logits ``(N, K)``; ``example_input`` is a valid input with N >= 1. The
    result speaks of eval mode and shares the model's parameters; the model itself is not changed. Before it returns,
    logits and evidence are compared with the model on the example, at a larger batch and, where the model accepts
    one, at a second input size (``.proof``). Tracing with sizes left open may take ``seconds`` (processor time of
    this thread); where that is not enough, the result takes inputs of the example's size only.
    Raises AdoptionError naming the operation that stood in the way.
    """
    if not isinstance(example_input, Tensor) or example_input.ndim < 2 or not example_input.shape[0]:
        raise AdoptionError(
            "adopt", "`example_input` as a tensor (N, ...) with at least one sample", str(type(example_input))
        )
    example = example_input.detach()
    example = torch.cat([example, example]) if example.shape[0] == 1 else example
    with evaluating(model), torch.no_grad():
        captured = capture(model, example, seconds)
        module = captured.module
        shapes, logits = look(module, example)
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != example.shape[0]:
            got = str(tuple(logits.shape)) if isinstance(logits, Tensor) else type(logits).__name__
            raise AdoptionError("adopt", "a model that gives logits (N, K)", got, "Flatten its output first.")
        simplify(module, shapes)
        found, shapes = narrow_until_found(module, lambda: look(module, example)[0])
        parts = cut(module, found, shapes, linear_inputs)
        classifier = _build(parts, found, shapes)
        classifier.eval()
        prove(classifier, model, example, captured.varying)
    return classifier


def _build(parts: Cut, found: Found, shapes: Shapes) -> AdoptedClassifier:
    if parts.carried:
        pool: Pool = Carried(sum(slot.regions for slot in parts.slots), affine=parts.fixed_weights)
    else:
        pools = [_pool(reduction, shapes) for reduction in found.pools]
        pool = pools[0] if len(pools) == 1 else Joined(*pools)
    return AdoptedClassifier(
        parts.trunk, pool, TracedTail(parts.tail, parts.live, parts.sides, parts.varied), found.also
    )


def _pool(reduction: Reduction, shapes: Shapes) -> Pool:
    if reduction.kind == "grid":
        return Grid(*reduction.bins, partition="torch")
    if reduction.kind == "every":
        shape = shapes[reduction.features]
        return Grid(*(shape[axis] for axis in reduction.axes), partition="torch")
    if reduction.kind == "max":
        return Max()
    return Mean() if reduction.kind == "mean" else Sum()
