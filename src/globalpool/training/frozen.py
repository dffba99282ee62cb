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
from globalpool.surgery import HeadFit, HeadStatistics, collect, fit_head
from globalpool.surgery.batches import Loader
from globalpool.surgery.head_fit import Method
from globalpool.training.batches import Batches
from globalpool.training.history import TrainingResult, row
from globalpool.training.metrics import Counts, Metrics
from globalpool.training.processes import count, device_of, gathered, rank, share, wait
from globalpool.training.reduced import reduced
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
    if not found:  # of few samples a process may have none
        return Pooled(torch.empty(0, 0), torch.empty(0, dtype=torch.long))
    vectors, targets = (torch.cat(column) for column in zip(*found, strict=True))
    return Pooled(vectors.clone(), targets)


def everywhere(own: Pooled) -> Pooled:
    """The vectors and targets of all processes in every one."""
    if count() == 1:
        return own
    parts = [part for part in gathered((own.vectors.cpu(), own.targets.cpu())) if len(part[0])]
    if not parts:
        return own
    vectors, targets = (torch.cat(column).to(own.vectors.device) for column in zip(*parts, strict=True))
    return Pooled(vectors, targets)


def train_head(
    classifier: PooledClassifier,
    batches: Batches,
    validation: Batches | None,
    run_folder: RunFolder | None = None,
    method: Method = "logistic",
) -> tuple[TrainingResult, HeadFit]:
    """Fit the tail's last layer by ``fit_head`` and leave all else as it is; one row of a curve, as ``train`` gives.

    The penalty is chosen on ``validation`` (without it: by ``fit_head``'s own rule). TrainingError for a pool with
    parameters, which no fit in closed form reaches.

    Under torchrun each process gives its share of the batches (of training samples too each exactly once: evaluation
    batches), and the fit is that of all of them: ridge with a validation set sends its sufficient statistics from
    process to process, the other fits need the vectors themselves, N x F numbers.
    """
    start = time.perf_counter()
    if next(classifier.pool.parameters(), None) is not None:
        hint = "Train it with the trunk, or take a pool such as Mean."
        raise TrainingError("train_head", "a pool without parameters", str(classifier.pool).replace("\n", ""), hint)
    own = pooled(classifier, batches)
    other = None if validation is None else pooled(classifier, validation, "validation")
    # A map of one position, whose mean it is: the fit's own loader then reads what was computed once.
    head = PooledClassifier(nn.Identity(), Mean(), classifier.tail).eval()
    held_back = None if other is None else _loader(everywhere(other))
    data: Loader | HeadStatistics
    if method == "ridge" and held_back is not None and count() > 1:
        data = reduced(collect(head, _loader(own)) if len(own.vectors) else None)
    else:
        data = _loader(everywhere(own))
    fit = fit_head(head, data, method, validation=held_back)
    share(fit.layer.parameters())
    judged = None if other is None else _metrics(classifier.tail, other)
    epochs = [row(1, 0, 0.0, _metrics(classifier.tail, own), judged)]
    weights = classifier.state_dict()
    if run_folder is not None and rank() == 0:
        with run_folder.alone():
            run_folder.put_right(epochs, weights, weights)
    wait()
    classifier.eval()
    return TrainingResult(tuple(epochs), 1, time.perf_counter() - start), fit


def _loader(data: Pooled) -> Loader:
    """Each vector as a map of one position."""
    return [(data.vectors[..., None], data.targets)]


def _metrics(tail: nn.Module, data: Pooled) -> Metrics:
    """Over all processes, from whole numbers."""
    first = next(tail.parameters())
    counts = Counts(first.device)
    if len(data.vectors):
        with evaluating(tail), torch.inference_mode():
            counts.add_logits(tail(data.vectors.to(first.dtype)), data.targets)
    found = counts.metrics()
    return Metrics(found.samples, found.accuracy, found.nll, found.nll)


def _progress(batches: Batches, what: str) -> Iterable:  # type: ignore[type-arg]
    bar: Iterable = need("tqdm", "images", "train").tqdm(batches, desc=what, unit="batch", disable=None)  # type: ignore[type-arg]
    return bar
