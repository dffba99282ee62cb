"""What a user has - pictures, labelled examples, tensors - as the samples of an audit."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from globalpool.audits.samples import AuditData
from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.data import Examples, Picture, SizePolicy, prepare, read_picture
from globalpool.data.kinds import InputKind
from globalpool.errors import DataError
from globalpool.evidence import evaluating
from globalpool.training.processes import device_of

#: What may be audited on: picture files, labelled examples, or inputs one by one, each ``(1, C, *S)``, or as batches.
Data = Examples | Sequence[Path] | Sequence[Any] | Tensor


def gather(
    classifier: PooledClassifier,
    data: Data,
    *,
    targets: Tensor | Sequence[int] | None = None,
    sizes: SizePolicy | None = None,
    samples: int = 64,
    seed: int = 0,
) -> AuditData:
    """At most ``samples`` of the data, drawn by ``seed`` and kept in their order.

    ``sizes``: at which size each picture goes in; None: the side in ``input_spec``. ``targets (N,)``: class ids where
    ``data`` has none; examples bring theirs where every class of theirs is one of the classifier's ``labels``. Without
    either the classifier's own top class of each input takes their place. DataError for nothing, and for files that
    cannot be read.
    """
    if samples < 1:
        raise DataError("audit", "at least one sample", f"samples={samples}")
    entries = list(data.examples) if isinstance(data, Examples) else _singles(data)
    if not entries:
        raise DataError("audit", "at least one sample to audit on", "none")
    known = _known_targets(classifier, data, targets, len(entries))
    chosen = _drawn(len(entries), samples, seed)
    files = [entry if isinstance(entry, Path) else getattr(entry, "path", None) for entry in entries]
    device = device_of(classifier)
    spec = classifier.input_spec
    inputs, pictures, ids = [], [], []
    for number in chosen:
        file = files[number]
        if isinstance(file, Path) and isinstance(spec, InputKind):
            inputs.append(_sample(spec, file).to(device))
            ids.append(str(file))
        elif isinstance(file, Path):
            picture = read_picture(file)
            pictures.append(picture.pixels)
            inputs.append(prepared(classifier, picture, sizes).to(device))
            ids.append(str(file))
        else:
            own: Any = entries[number]
            inputs.append(own.to(device) if hasattr(own, "to") else own)
            ids.append(str(number))
    own_targets = _predicted(classifier, inputs) if known is None else known[chosen]
    pixels = tuple(pictures) if len(pictures) == len(inputs) else ()
    given = (tuple(inputs), own_targets, known is not None, tuple(ids), pixels)
    return AuditData(*given, spec if isinstance(spec, InputSpec) else None, seed=seed)


def _sample(inputs: InputKind, file: Path) -> Any:
    """What the classifier is called with for one file: a tensor ``(1, C, *S)``, or a batch of one graph."""
    sample = inputs.prepare(inputs.read(file))
    (part,) = (sample[None],) if isinstance(sample, Tensor) else inputs.collate([sample])
    return part


def prepared(classifier: PooledClassifier, picture: Picture, sizes: SizePolicy | None) -> Tensor:
    """``(1, C, H, W)`` at the size the classifier gets such pictures at."""
    spec = classifier.input_spec
    if spec is None:
        hint = "Pass input_spec=InputSpec(size, mean, std) when you build it, or give tensors."
        raise DataError("audit", "a classifier that says how pictures are prepared", "input_spec=None", hint)
    height, width = picture.pixels.shape[:2]
    return prepare(picture, spec, spec.size if sizes is None else sizes((height, width)))


def _singles(data: Any) -> list[Any]:
    """Files, or inputs of one sample each: a batch ``(n, C, *S)`` counts as its samples."""
    if isinstance(data, str | Path):
        hint = "globalpool.data.read_folder reads labelled ones, find_pictures(...).files others."
        raise DataError("audit", "a sequence of files, Examples or tensors", repr(str(data)), hint)
    parts = [data] if isinstance(data, Tensor) else list(data)
    entries: list[Any] = []
    for part in parts:
        if isinstance(part, Tensor) and part.ndim > 2:
            entries += list(part.split(1))
        elif isinstance(part, str | Path):
            entries.append(Path(part))
        else:
            entries.append(part)
    return entries


def _drawn(count: int, samples: int, seed: int) -> list[int]:
    if count <= samples:
        return list(range(count))
    return sorted(np.random.default_rng(seed).permutation(count)[:samples].tolist())


def _known_targets(
    classifier: PooledClassifier, data: Data, targets: Tensor | Sequence[int] | None, count: int
) -> Tensor | None:
    if targets is not None:
        known = torch.as_tensor(targets).long().cpu()
        if known.shape != (count,):
            raise DataError("audit", f"a class id for each of {count} samples", f"{tuple(known.shape)}")
        return known
    if not isinstance(data, Examples) or data.multi_label:
        return None
    numbers: Mapping[str, int] = {name: number for number, name in enumerate(classifier.labels or ())}
    if not all(name in numbers for name in data.classes):
        return None
    return torch.tensor([numbers[data.classes[example.labels[0]]] for example in data.examples])


def _predicted(classifier: Callable[[Any], Tensor], inputs: Sequence[Any]) -> Tensor:
    assert isinstance(classifier, PooledClassifier)
    with evaluating(classifier), torch.no_grad():
        return torch.cat([classifier(x).argmax(1).cpu() for x in inputs])
