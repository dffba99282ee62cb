"""The trunk as it is: every picture goes through it once, and the last layer is fitted to what came out."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.data.parts import features
from globalpool.errors import TrainingError
from globalpool.evidence import evaluating
from globalpool.extras import need
from globalpool.pools import Mean
from globalpool.surgery import HeadFit, fit_head
from globalpool.surgery.head_fit import Method
from globalpool.training.batches import Batches
from globalpool.training.history import TrainingResult, row
from globalpool.training.metrics import Counts, Metrics
from globalpool.training.processes import count, device_of
from globalpool.training.run_folder import RunFolder


@dataclass(frozen=True, eq=False)
class Pooled:
    """``vectors (N, F)`` before the tail, and the targets of the same samples."""

    vectors: Tensor
    targets: Tensor


def pooled(classifier: PooledClassifier, batches: Batches, what: str = "features") -> Pooled:
    """The pooled vectors of all batches, in eval mode and without gradients; N x F numbers are kept."""
    device = device_of(classifier)
    found: list[tuple[Tensor, Tensor]] = []
    with evaluating(classifier), torch.inference_mode():
        for batch in _progress(batches, what):
            maps, layout = features(classifier, batch.to(device).parts)
            found.append((classifier.pool(maps, **layout), batch.targets.to(device)))
    vectors, targets = (torch.cat(column) for column in zip(*found, strict=True))
    return Pooled(vectors.clone(), targets)


def train_head(
    classifier: PooledClassifier,
    batches: Batches,
    validation: Batches | None,
    run_folder: RunFolder | None = None,
    method: Method = "logistic",
) -> tuple[TrainingResult, HeadFit]:
    """Fit the tail's last layer by ``fit_head`` and leave all else as it is; one row of a curve, as ``train`` gives.

    The penalty is chosen on ``validation`` (without it: by ``fit_head``'s own rule). TrainingError for a pool with
    parameters, which no fit in closed form reaches, and for several processes.
    """
    start = time.perf_counter()
    if next(classifier.pool.parameters(), None) is not None:
        hint = "Train it with the trunk, or take a pool such as Mean."
        raise TrainingError("train_head", "a pool without parameters", str(classifier.pool).replace("\n", ""), hint)
    if count() > 1:
        raise TrainingError("train_head", "one process", f"{count()}", "Start it without torchrun.")
    own = pooled(classifier, batches)
    other = None if validation is None else pooled(classifier, validation, "validation")
    # A map of one position, whose mean it is: the fit's own loader then reads what was computed once.
    head = PooledClassifier(nn.Identity(), Mean(), classifier.tail).eval()
    data = [(own.vectors[..., None], own.targets)]
    held_back = None if other is None else [(other.vectors[..., None], other.targets)]
    fit = fit_head(head, data, method, validation=held_back)
    judged = None if other is None else _metrics(classifier.tail, other)
    epochs = [row(1, 0, 0.0, _metrics(classifier.tail, own), judged)]
    weights = classifier.state_dict()
    if run_folder is not None:
        with run_folder.alone():
            run_folder.put_right(epochs, weights, weights)
    classifier.eval()
    return TrainingResult(tuple(epochs), 1, time.perf_counter() - start), fit


def _metrics(tail: nn.Module, data: Pooled) -> Metrics:
    counts = Counts(data.vectors.device)
    with evaluating(tail), torch.inference_mode():
        first = next(tail.parameters())
        counts.add_logits(tail(data.vectors.to(first.dtype)), data.targets)
    found = counts.metrics()
    return Metrics(found.samples, found.accuracy, found.nll, found.nll)


def _progress(batches: Batches, what: str) -> Iterable:  # type: ignore[type-arg]
    bar: Iterable = need("tqdm", "images", "train").tqdm(batches, desc=what, unit="batch", disable=None)  # type: ignore[type-arg]
    return bar
