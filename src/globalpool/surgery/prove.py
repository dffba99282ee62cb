"""The proof that an adopted classifier is its model: same logits, complete evidence, at several inputs."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor, nn

from globalpool.errors import AdoptionError, GlobalPoolError
from globalpool.evidence import Classes, Evidence
from globalpool.evidence.record import TOLERANCES
from globalpool.surgery.adopted import AdoptedClassifier, Proof


def prove(classifier: AdoptedClassifier, model: nn.Module, example: Tensor, varying: tuple[int, ...]) -> None:
    """Compare with the model on ``example``, one sample more, and another size; sets ``proof`` and ``fixed``."""
    larger = torch.cat([example, example[:1].flip(-1)])
    proof = both(_compare(classifier, model, example), _compare(classifier, model, larger))
    second = _second_size(model, example, varying)
    fixed = tuple((axis, example.shape[axis]) for axis in range(1 if example.ndim == 2 else 2, example.ndim))
    if second is not None:
        with suppress(AdoptionError):  # then the graph is that of one size; other sizes are refused with a message
            proof, fixed = both(proof, _compare(classifier, model, second)), ()
    classifier.proof, classifier.fixed = proof, fixed


def _compare(classifier: AdoptedClassifier, model: nn.Module, x: Tensor) -> Proof:
    return compare(
        lambda: model(x), lambda: classifier(x), lambda classes: classifier.evidence(x, classes), tuple(x.shape)
    )


def compare(
    model: Callable[[], Tensor],
    logits: Callable[[], Tensor],
    evidence_of: Callable[[Classes], Evidence],
    shape: tuple[int, ...],
) -> Proof:
    """The model's logits beside the classifier's and their evidence, for an input told by its ``shape``."""
    expected = model()
    try:
        got = logits()
        evidence = evidence_of("top2" if expected.shape[1] > 1 else "top1").check()
    except (GlobalPoolError, RuntimeError) as error:
        told = str(error).strip().splitlines()[0]
        hint = "The traced graph or its tail cannot do what the model does here."
        raise AdoptionError("adopt", f"logits and evidence for an input {shape}", told, hint) from error
    scale = expected.abs().amax(1, keepdim=True).clamp(min=torch.finfo(expected.dtype).tiny)
    difference = float(((got - expected).abs() / scale).max())
    allowed = TOLERANCES[expected.dtype]
    if not difference <= allowed:
        expectation = f"the model's logits to a relative {allowed:g} for an input {shape}"
        raise AdoptionError("adopt", expectation, f"a difference of {difference:.3g}")
    added = evidence.layout.sum_samples(evidence.maps.abs()) + evidence.offset.abs()
    residual = float((evidence.residual() / added.clamp(min=1)).max())
    return Proof((shape,), difference, residual, evidence.kind)


def both(first: Proof, second: Proof) -> Proof:
    """One proof of two."""
    return replace(
        first,
        inputs=first.inputs + second.inputs,
        difference=max(first.difference, second.difference),
        residual=max(first.residual, second.residual),
    )


def _second_size(model: nn.Module, example: Tensor, varying: tuple[int, ...]) -> Tensor | None:
    """The example with its spatial axes made longer, if the model takes it."""
    axes = [axis for axis in varying if axis > 1 or example.ndim == 2]
    if not axes:
        return None
    larger = example
    for axis in axes:
        more = max(32, example.shape[axis] // 4 // 32 * 32)
        larger = torch.cat([larger, larger.flip(axis).narrow(axis, 0, min(more, larger.shape[axis]))], axis)
    try:
        model(larger)
    except Exception:
        return None
    return larger
