"""The loop."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TypeVar

import torch

from globalpool.classifier import PooledClassifier
from globalpool.errors import TrainingError
from globalpool.extras import need
from globalpool.training import processes
from globalpool.training.batches import Batches
from globalpool.training.history import Epoch, TrainingResult, best, row
from globalpool.training.learner import Learner
from globalpool.training.metrics import Counts, evaluate
from globalpool.training.objectives.base import Objective
from globalpool.training.objectives.cross_entropy import CrossEntropy
from globalpool.training.run_folder import TENSORBOARD, RunFolder
from globalpool.training.scalars import Scalars, scalars
from globalpool.training.settings import TrainingSettings
from globalpool.training.streams import begin_epoch, given_back

T = TypeVar("T")


def train(
    classifier: PooledClassifier,
    batches: Batches,
    validation: Batches | None,
    settings: TrainingSettings,
    run_folder: RunFolder | None = None,
    objective: Objective | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainingResult:
    """Train ``classifier`` in place, on the device it is on; afterwards it has the best epoch's weights, in eval mode.

    Best: highest validation accuracy, then lowest NLL; the last epoch without ``validation``. ``objective`` None:
    cross-entropy with ``settings.smoothing``. ``run_folder``: where a checkpoint, the curve and the weights are kept
    after every epoch; one that holds a checkpoint already is continued from there, bit for bit on the CPU, epochs cut
    short being done again; TrainingError where another process is at work in it. ``on_epoch`` is called with each new
    row of the curve.

    Under torchrun each process calls this with its share of the batches; updates, metrics and files are then those of
    one process with all of them (but BatchNorm sees its own share only).
    """
    start = time.perf_counter()
    if not len(batches):
        raise TrainingError("train", "at least one batch", "none", "Give more samples, or a smaller batch.")
    if settings.tensorboard and run_folder is None:
        raise TrainingError("tensorboard", "a run folder to write to", "none", "Pass run_folder=RunFolder.create(...).")
    objective = CrossEntropy(settings.smoothing) if objective is None else objective
    a_pass = -(-len(batches) // settings.accumulate)
    learner = Learner(classifier, objective, settings, settings.epochs * a_pass)
    with ExitStack() as stack:
        own = run_folder if processes.rank() == 0 else None
        if own is not None:
            stack.enter_context(own.alone())
        stack.enter_context(given_back())
        epochs, kept, before = _restored(learner, run_folder)
        points: Scalars | None = None
        if own is not None and settings.tensorboard:
            points = stack.enter_context(scalars(own.path / TENSORBOARD, epochs))
        bar = stack.enter_context(_progress(settings.epochs * a_pass, learner.done))
        for number in range(len(epochs) + 1, settings.epochs + 1):
            random = begin_epoch(settings.seed, number, processes.rank())
            batches.set_epoch(number)
            classifier.train()
            counts = Counts(learner.device)
            for group in _groups(batches, settings.accumulate):
                rate = learner.learning_rate
                loss = learner.update(group, random, counts)
                bar.set_postfix_str(f"epoch {number}/{settings.epochs}, loss {loss:.3f}", refresh=False)
                bar.update()
            processes.share_buffers(learner.judged)
            judged = None if validation is None else evaluate(learner.judged, validation)
            epochs.append(row(number, learner.done, rate, counts.metrics(), judged))
            if best(epochs) == number:
                kept = {name: tensor.detach().clone() for name, tensor in learner.judged.state_dict().items()}
            seconds = before + time.perf_counter() - start
            if own is not None:
                own.save(learner, epochs, kept, seconds)
            if points is not None:
                points.add(epochs[-1])
            if on_epoch is not None and processes.rank() == 0:
                on_epoch(epochs[-1])
    processes.wait()
    classifier.load_state_dict(kept)
    classifier.eval()
    return TrainingResult(tuple(epochs), best(epochs), before + time.perf_counter() - start)


def _restored(learner: Learner, run_folder: RunFolder | None) -> tuple[list[Epoch], dict[str, torch.Tensor], float]:
    """The curve so far, the best weights so far, and the seconds they took."""
    found = None if run_folder is None else run_folder.newest()
    if found is None:
        return [], {}, 0.0
    assert run_folder is not None, "the checkpoint came from it"
    learner.load(found.state, found.rest)
    if processes.rank() == 0:
        run_folder.put_right(found.epochs, learner.judged.state_dict(), found.best)
    return list(found.epochs), dict(found.best), found.seconds


def _groups(batches: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(batches)
    while group := list(itertools.islice(iterator, size)):
        yield group


def _progress(total: int, done: int):  # type: ignore[no-untyped-def]
    """A line with the time to go, on a terminal."""
    tqdm = need("tqdm", "images", "train").tqdm
    return tqdm(total=total, initial=done, unit="update", disable=True if processes.rank() else None)
