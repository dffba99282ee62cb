"""What a classifier says of picture files, in their order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data import SizePolicy, prepare, read_picture
from globalpool.data.parts import logits
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
    classifier: PooledClassifier, files: Iterable[Path], sizes: SizePolicy, batch_size: int = 32
) -> Iterator[Said]:
    """One answer a file, each by itself: pictures of one size go through the trunk together, up to ``batch_size``.

    In eval mode; memory does not grow with the number of files. A file that cannot be read, or that the network
    cannot take, gives a reason and disturbs no other.
    """
    iterator = iter(files)
    while group := list(islice(iterator, batch_size)):
        prepared = [_prepared(classifier, file, sizes) for file in group]
        with evaluating(classifier), torch.inference_mode():
            answers = _answers(classifier, [entry for entry in prepared if isinstance(entry, Tensor)])
        for file, entry in zip(group, prepared, strict=True):
            yield _said(file, next(answers) if isinstance(entry, Tensor) else entry)


def _prepared(classifier: PooledClassifier, file: Path, sizes: SizePolicy) -> Tensor | str:
    if classifier.input_spec is None:
        hint = "Pass input_spec=InputSpec(size, mean, std) when you build it."
        raise DataError("predict_files", "a classifier that says how pictures are prepared", "input_spec=None", hint)
    try:
        picture = read_picture(file)
        height, width = picture.pixels.shape[:2]
        return prepare(picture, classifier.input_spec, sizes((height, width)))
    except DataError as error:
        return f"expected {error.expected}; got {error.got}"


def _answers(classifier: PooledClassifier, inputs: list[Tensor]) -> Iterator[Tensor | str]:
    """Of each input ``(1, C, H, W)`` its logits, or why the network cannot take it."""
    if not inputs:
        return iter(())
    places: dict[tuple[int, ...], list[int]] = {}
    for place, x in enumerate(inputs):
        places.setdefault(tuple(x.shape), []).append(place)
    device = device_of(classifier)
    parts = [torch.cat([inputs[place] for place in own]).to(device) for own in places.values()]
    try:
        found = logits(classifier, parts).float().cpu()
    except (RuntimeError, ValueError) as error:  # such as a picture smaller than the trunk's first window
        if len(inputs) == 1:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            return iter([f"expected an input the network can take; got {tuple(inputs[0].shape)}: {reason}"])
        return iter([answer for x in inputs for answer in _answers(classifier, [x])])
    order = torch.tensor([place for own in places.values() for place in own])
    return iter(found[order.argsort()].unbind())


def _said(file: Path, answer: Tensor | str) -> Said:
    if isinstance(answer, str):
        return Said(file, None, answer)
    if not bool(answer.isfinite().all()):
        return Said(file, None, "expected finite logits; got NaN or Inf")
    return Said(file, answer)
