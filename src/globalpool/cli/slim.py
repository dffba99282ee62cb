"""``globalpool slim``."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from globalpool import __version__
from globalpool.classifier import InputSpec
from globalpool.cli.names import pool_named
from globalpool.cli.networks import Network, input_size, network_named, trained_size
from globalpool.cli.new_head import example_input, with_new_head
from globalpool.cli.options import SlimOptions
from globalpool.cli.slim_files import Card, write_slim
from globalpool.data import (
    RULE,
    Example,
    Examples,
    FileSource,
    Fixed,
    apart,
    evaluation_batches,
    held_out,
    read_examples,
)
from globalpool.errors import DataError, GlobalPoolError
from globalpool.surgery import HeadFit, fit_head

OWN_FOLDER = "held-out pictures from a folder of their own, without copies"
FEW = "Add pictures, or give a folder to judge on by --test."


class Pairs:
    """Pictures as batches ``(x (B, 3, size, size), y (B,))``, read anew at each iteration."""

    def __init__(self, data: Examples, indices: Sequence[int], spec: InputSpec, size: int, batch_size: int) -> None:
        self.count = len(indices)
        self.batches = evaluation_batches(FileSource(data), indices, spec, Fixed(size), batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self.batches:
            yield batch.parts[0], batch.targets


def run(options: SlimOptions) -> int:
    """Fit a light head and write it; 1 when no picture could be read."""
    start = time.perf_counter()
    out = _checked(options)
    network = network_named(options.model, options.weights, options.architecture)
    if network.sizes is not None:
        hint = "A run has a light head already; train another by globalpool train."
        raise GlobalPoolError("model", "a network by its name or its file", f"the run {options.model}", hint)
    size = input_size(network, options.size)
    print(f"model: {network.name}", *(f"note: {note}" for note in network.notes), sep="\n")
    data = read_examples(Path(options.data))
    test = None if options.test is None else read_examples(Path(options.test))
    _print_left_out(data.left_out + (test.left_out if test is not None else ()))
    if not data.examples or (test is not None and not test.examples):
        print(f"no picture of {options.data if not data.examples else options.test} could be read")
        return 1
    for one in (data,) if test is None else (data, test):
        if one.multi_label:
            raise DataError(str(one.root), "one label a picture", "several", "Train by globalpool train.")
    read, data = data.left_out, data if test is None else apart(data, test)
    _print_left_out(data.left_out[len(read) :])
    if test is None:
        split, kept = held_out(data, options.share, FEW), data
        _print_left_out(split.left_out)
        fitted, judged, rule = split.train, split.test, split.rule
        data = replace(data, left_out=data.left_out + split.left_out)
    else:
        fitted, judged, rule, kept = tuple(range(len(data))), tuple(range(len(test))), OWN_FOLDER, test
    print(f"data: {len(data.classes)} classes, {len(fitted)} pictures to fit, {len(judged)} held out")
    classifier = with_new_head(
        network.base,
        lambda channels: pool_named(options.pool, channels),
        len(data.classes),
        trained_size(network),
        size,
    )
    fit = fit_head(
        classifier,
        Pairs(data, fitted, network.spec, size, options.batch),
        options.method,
        options.strength if options.strength is not None or options.method == "logistic" else "gcv",
    )
    pairs = Pairs(kept, judged, network.spec, size, options.batch)
    before = _accuracy(network.module, pairs, _ids(network, data))
    after = _accuracy(classifier, pairs, list(range(len(data.classes))))
    numbers = _parameters(network.module, classifier)
    seconds = time.perf_counter() - start
    facts = {
        "split": _split(
            rule, options.share, [data.examples[i] for i in fitted], [kept.examples[i] for i in judged], data.classes
        ),
        "accuracy": {"before": before, "after": after, "pictures": len(judged)},
        "parameters": numbers,
        "fit": {
            "method": fit.method,
            "strength": fit.strength,
            "pictures": fit.count,
            "seconds": round(fit.seconds, 3),
        },
        "left_out": [[path, reason] for path, reason in data.left_out + (test.left_out if test is not None else ())],
        "versions": _versions(network),
    }

    def card(weights: str) -> Card:
        pool, spec = options.pool, network.spec
        return Card(network.architecture, pool, data.classes, size, spec.mean, spec.std, weights, facts)

    write_slim(out, network.base, classifier, card)
    _print(numbers, before, after, len(judged), fit, seconds)
    print(f"written: {out} and {out.with_suffix('.json')}")
    print(f"next: globalpool explain --model {out} PICTURES")
    return 0


def _checked(options: SlimOptions) -> Path:
    """The file to write, where nothing stands in the way of writing it after the work."""
    out = Path(options.out)
    if out.suffix != ".safetensors":
        raise DataError(
            "--out", "a file name ending in .safetensors", str(out), f"As in {out.stem or 'slim'}.safetensors."
        )
    if not out.parent.is_dir():
        raise DataError(str(out), "a file in a folder that exists", f"no folder {out.parent}", "Create it first.")
    for file in (out, out.with_suffix(".json")):
        if file.is_dir() or (file.exists() and not options.overwrite):
            got = "a folder" if file.is_dir() else "a file that exists"
            raise DataError(str(file), "a new file", got, "Choose another --out, or pass --overwrite for a file.")
    if options.batch < 1:
        raise GlobalPoolError("--batch", "a positive number of pictures", str(options.batch))
    if not 0 < options.share < 1:
        hint = "0.2 judges on a fifth of each class."
        raise DataError("--share", "a share between 0 and 1", f"{options.share}", hint)
    pool_named(options.pool, 8)
    return out


def _ids(network: Network, data: Examples) -> list[int] | None:
    """The network's own number of each class of the folder, by name (or number); None where one is missing."""
    with torch.no_grad():
        outputs = network.module(example_input(network.spec.size)[:1]).shape[1]
    names = network.labels or tuple(map(str, range(outputs)))
    if any(names.count(name) != 1 for name in data.classes):
        return None
    return [names.index(name) for name in data.classes]


def _accuracy(module: nn.Module, batches: Pairs, ids: list[int] | None) -> float | None:
    """Share of pictures whose largest logit, among all the network has, is their class."""
    if ids is None:
        return None
    numbers, right = torch.tensor(ids), 0
    with torch.inference_mode():
        for x, y in batches:
            right += int((module(x).argmax(1) == numbers[y]).sum())
    return right / batches.count


def _parameters(old: nn.Module, new: nn.Module) -> dict[str, int]:
    total, after = (sum(parameter.numel() for parameter in module.parameters()) for module in (old, new))
    head = sum(parameter.numel() for part in (new.pool, new.tail) for parameter in part.parameters())  # type: ignore
    return {
        "head_before": total - (after - head),
        "head_after": head,
        "total_before": total,
        "total_after": after,
    }


def _split(
    rule: str, share: float, fitted: Sequence[Example], judged: Sequence[Example], classes: Sequence[str]
) -> dict[str, Any]:
    counts = [Counter(classes[example.labels[0]] for example in part) for part in (fitted, judged)]
    return {
        "rule": rule,
        "share": share if rule == RULE else None,
        "fitted": dict(counts[0]),
        "held_out": dict(counts[1]),
        "held_out_content": sorted({example.content[:16] for example in judged}),
        "note": "Held out from this fit; the network itself may have been trained on any of the pictures.",
    }


def _versions(network: Network) -> dict[str, str]:
    library = network.architecture.partition(":")[0]
    names = ("torch", library if library == "torchvision" else "timm")
    return {"globalpool": __version__} | {name: version(name) for name in names}


def _print_left_out(left_out: tuple[tuple[str, str], ...]) -> None:
    for path, reason in left_out[:10]:
        print(f"left out: {path}: {reason}")
    if len(left_out) > 10:
        print(f"left out: {len(left_out) - 10} more")


def _print(
    numbers: dict[str, int], before: float | None, after: float | None, judged: int, fit: HeadFit, seconds: float
) -> None:
    print(f"{'':18}{'head':>14}{'total':>14}")
    for when in ("before", "after"):
        print(f"parameters {when:7}{numbers[f'head_{when}']:14,}{numbers[f'total_{when}']:14,}")
    cuts = [100 * (1 - numbers[f"{part}_after"] / numbers[f"{part}_before"]) for part in ("head", "total")]
    print(f"{'cut by':18}{cuts[0]:12.3f} %{cuts[1]:12.3f} %")
    what = "not comparable: the network's classes are not the folder's" if before is None else f"{before:.4f}"
    print(f"accuracy before: {what}")
    print(f"accuracy after:  {after:.4f} on {judged} held-out pictures")
    spent = f"{fit.seconds:.1f} s; all {seconds:.1f} s"
    print(f"fit: {fit.method}, strength {fit.strength:.3g}, {fit.count} pictures, {spent}")
