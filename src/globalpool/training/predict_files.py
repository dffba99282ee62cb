"""What a classifier says of picture files, in their order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data import SizePolicy
from globalpool.data.kinds import InputKind
from globalpool.data.parts import logits
from globalpool.data.pictures import inputs_of
from globalpool.errors import DataError
from globalpool.evidence import evaluating
from globalpool.training.processes import device_of


@dataclass(frozen=True, eq=False)
class Said:
    """``logits (K,)`` float32 of one file, or (None) the reason why there are none."""

    path: Path
    logits: Tensor | None
    reason: str = ""


def predict_files(
    classifier: PooledClassifier, files: Iterable[Path], sizes: SizePolicy | None = None, batch_size: int = 32
) -> Iterator[Said]:
    """One answer a file, each by itself: up to ``batch_size`` samples go through the trunk together.

    ``sizes``: of pictures, where others than their own.

    In eval mode; memory does not grow with the number of files. A file that cannot be read, or that the network
    cannot take, gives a reason and disturbs no other.
    """
    inputs = inputs_of(classifier, sizes)
    iterator = iter(files)
    while group := list(islice(iterator, batch_size)):
        prepared = [_prepared(inputs, file) for file in group]
        with evaluating(classifier), torch.inference_mode():
            answers = _answers(classifier, inputs, [entry for entry in prepared if not isinstance(entry, str)])
        for file, entry in zip(group, prepared, strict=True):
            yield _said(file, entry if isinstance(entry, str) else next(answers))


def _prepared(inputs: InputKind, file: Path) -> Any:
    """An input, or why there is none."""
    try:
        return inputs.prepare(inputs.read(file))
    except DataError as error:
        return f"expected {error.expected}; got {error.got}"


def _answers(classifier: PooledClassifier, inputs: InputKind, samples: list[Any]) -> Iterator[Tensor | str]:
    """Of each input its logits, or why the network cannot take it."""
    if not samples:
        return iter(())
    order = sorted(range(len(samples)), key=lambda place: inputs.size(samples[place]))  # few parts, little padding
    device = device_of(classifier)
    parts = [part.to(device) for part in inputs.collate([samples[place] for place in order])]
    try:
        found = logits(classifier, parts).float().cpu()
    except (RuntimeError, ValueError) as error:  # such as a picture smaller than the trunk's first window
        if len(samples) == 1:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            size = inputs.size(samples[0])
            return iter([f"expected an input the network can take; got one of size {size}: {reason}"])
        return iter([answer for sample in samples for answer in _answers(classifier, inputs, [sample])])
    return iter(found[torch.tensor(order).argsort()].unbind())


def _said(file: Path, answer: Tensor | str) -> Said:
    if isinstance(answer, str):
        return Said(file, None, answer)
    if not bool(answer.isfinite().all()):
        return Said(file, None, "expected finite logits; got NaN or Inf")
    return Said(file, answer)
