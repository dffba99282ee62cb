"""Maps of picture files, at the pictures' own sizes, in their order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data import SizePolicy, prepare, read_picture
from globalpool.errors import DataError
from globalpool.localize.class_maps import MapRecipe, class_maps

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class LocatedPicture:
    """Of one file: ``values (height, width)``, the map of class ``class_id``; ``logits (K,)``; or why there are none.

    ``values``, in pixels of the picture as it is shown, and ``logits`` are None where ``reason`` is not empty.
    """

    path: Path
    values: Array | None
    class_id: int
    logits: Tensor | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Input:
    """A prepared picture ``(1, C, H, W)`` and the sides of the picture itself."""

    x: Tensor
    size: tuple[int, int]


def locate_files(
    classifier: PooledClassifier,
    files: Iterable[Path],
    sizes: SizePolicy,
    recipe: MapRecipe | None = None,
    batch_size: int = 32,
) -> Iterator[LocatedPicture]:
    """The map of the class with the highest logit for each file, each by itself, in eval mode.

    Pictures go in at ``sizes`` (times ``recipe.scales``); memory does not grow with the number of files. A file that
    cannot be read, or that the network cannot take, gives a reason and disturbs no other.
    """
    recipe = MapRecipe() if recipe is None else recipe
    iterator = iter(files)
    while group := list(islice(iterator, batch_size)):
        read = [_read(classifier, file, sizes) for file in group]
        alike: dict[tuple[Any, ...], list[int]] = {}
        for place, entry in enumerate(read):
            if isinstance(entry, _Input):
                alike.setdefault((*entry.x.shape, *entry.size), []).append(place)
        found: dict[int, LocatedPicture] = {}
        for places in alike.values():
            inputs = [read[place] for place in places]
            found.update(zip(places, _located(classifier, group, places, inputs, recipe), strict=True))
        for place, (file, entry) in enumerate(zip(group, read, strict=True)):
            yield found[place] if isinstance(entry, _Input) else LocatedPicture(file, None, -1, None, entry)


def _read(classifier: PooledClassifier, file: Path, sizes: SizePolicy) -> _Input | str:
    if classifier.input_spec is None:
        hint = "Pass input_spec=InputSpec(size, mean, std) when you build it."
        raise DataError("locate_files", "a classifier that says how pictures are prepared", "input_spec=None", hint)
    try:
        picture = read_picture(file)
        height, width = picture.pixels.shape[:2]
        return _Input(prepare(picture, classifier.input_spec, sizes((height, width))), (height, width))
    except DataError as error:
        return f"expected {error.expected}; got {error.got}"


def _located(
    classifier: PooledClassifier, files: list[Path], places: list[int], inputs: list[Any], recipe: MapRecipe
) -> list[LocatedPicture]:
    """Of inputs alike in every size; one by one where the network refuses them together."""
    own = [files[place] for place in places]
    first = next(classifier.parameters(), None)
    x = torch.cat([entry.x for entry in inputs]).to("cpu" if first is None else first.device)
    try:
        found = class_maps(classifier, x, inputs[0].size, recipe=recipe)
    except (RuntimeError, ValueError) as error:  # such as a picture smaller than the trunk's first window
        if len(own) == 1:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            reason = f"expected an input the network can take; got {tuple(x.shape)}: {reason}"
            return [LocatedPicture(own[0], None, -1, None, reason)]
        halves = [([place], [entry]) for place, entry in zip(places, inputs, strict=True)]
        return [answer for part in halves for answer in _located(classifier, files, *part, recipe)]
    answers = []
    for row, (file, values) in enumerate(zip(own, found.maps.values, strict=True)):
        logits = found.logits[row].float().cpu()
        if not (np.isfinite(values).all() and bool(logits.isfinite().all())):
            answers.append(LocatedPicture(file, None, -1, None, "expected finite logits and maps; got NaN or Inf"))
        else:
            answers.append(LocatedPicture(file, values, int(found.classes[row]), logits))
    return answers
