"""One audit, and all of them on one classifier."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from globalpool.audits.finding import DoesNotApplyError, Finding
from globalpool.audits.samples import AuditData
from globalpool.classifier import PooledClassifier
from globalpool.errors import GlobalPoolError
from globalpool.evidence import evaluating
from globalpool.training.streams import begin_epoch, given_back


@dataclass(frozen=True)
class Audit:
    """One question: ``measure(classifier, data)`` answers it within ``data.budget`` seconds.

    ``measure`` gets the classifier in eval mode and without gradients to its parameters, and leaves it so; what it
    hooks or changes it gives back. ``weight``: its share of the whole budget, relative to the others'.
    """

    name: str
    question: str
    measure: Callable[[PooledClassifier, AuditData], Finding]
    weight: float = 1.0

    def __call__(self, classifier: PooledClassifier, data: AuditData) -> Finding:
        """The answer, with name, question and seconds filled in; the classifier afterwards as it was."""
        start = time.perf_counter()
        try:
            with as_found(classifier), given_back(), warnings.catch_warnings():
                # Torch says it to itself at the first forward derivative.
                warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
                begin_epoch(data.seed, 0, 0)
                found = self.measure(classifier, data)
        except DoesNotApplyError as error:
            found = self.finding("not applicable", str(error))
        except (GlobalPoolError, RuntimeError) as error:
            # A network that cannot take a size or lacks a gradient somewhere: the other audits go on.
            reason = str(error).strip().split("\n")[0]
            found = self.finding("not applicable", f"stopped: {type(error).__name__}: {reason}")
        return replace(found, seconds=time.perf_counter() - start)

    def finding(self, verdict: Any, advice: str, **facts: Any) -> Finding:
        """A Finding of this audit."""
        return Finding(self.name, self.question, verdict, advice, **facts)


@contextmanager
def as_found(classifier: nn.Module) -> Iterator[None]:
    """Eval mode and parameters without gradients for the block; modes, gradients and buffers are given back."""
    parameters = list(classifier.parameters())
    asked = [parameter.requires_grad for parameter in parameters]
    gradients = [parameter.grad for parameter in parameters]
    buffers = [(buffer, buffer.clone()) for buffer in classifier.buffers()]
    with evaluating(classifier):
        for parameter in parameters:
            parameter.requires_grad_(False)
            parameter.grad = None  # what accumulates does so in place
        try:
            yield
        finally:
            for parameter, own, gradient in zip(parameters, asked, gradients, strict=True):
                parameter.requires_grad_(own)
                parameter.grad = gradient
            with torch.no_grad():
                for buffer, before in buffers:
                    if not torch.equal(buffer, before):
                        buffer.copy_(before)


def run_audits(
    classifier: PooledClassifier, data: AuditData, audits: Sequence[Audit], budget: float
) -> Iterator[Finding]:
    """The findings one by one; what an audit leaves of its share of ``budget`` seconds goes to those after it."""
    start = time.perf_counter()
    for number, audit in enumerate(audits):
        left = max(0.0, budget - (time.perf_counter() - start))
        share = audit.weight / sum(later.weight for later in audits[number:])
        yield audit(classifier, replace(data, budget=share * left))
