"""From the options of a run to its data and its classifier; the same when it begins and when it goes on."""

import os
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from torch import distributed

from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.cli.names import call_named, guess, pool_call, pool_named
from globalpool.cli.networks import network_named
from globalpool.cli.options import TrainOptions
from globalpool.cli.sizes import size_record
from globalpool.data import (
    Augmentation,
    Batches,
    Buckets,
    Examples,
    FileSource,
    Fixed,
    Native,
    Rank,
    SizePolicy,
    Split,
    evaluation_batches,
    read_boxes_table,
    training_batches,
)
from globalpool.data.kind_batches import kind_evaluation_batches, kind_training_batches
from globalpool.data.kinds import InputKind, kind_named, kind_of
from globalpool.errors import GlobalPoolError
from globalpool.extras import need
from globalpool.models.tokens import ChannelsFirst, TokenTrunk
from globalpool.training import Architecture, Call, processes
from globalpool.training.architecture import MADE, OWN

#: Different sizes that are left as they are; more are brought to as many shapes.
SIZES = 8
CENTRE = (0.5, 0.5, 0.5)


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that training needs; ``sizes``: at which size each picture goes in."""

    options: TrainOptions
    data: Examples
    split: Split
    architecture: Architecture
    sizes: SizePolicy

    def batches(self, indices: tuple[int, ...]) -> Batches:
        """Shuffled and augmented, this process's share."""
        options, inputs = self.options, self.architecture.input
        if not isinstance(inputs, InputSpec):
            own = (self.data, indices, inputs, options.batch)
            return kind_training_batches(*own, seed=options.seed, rank=_rank(), workers=options.workers)
        augment = Augmentation(options.flip, options.shift, options.zoom, options.light)
        given = (FileSource(self.data), indices, inputs, self.sizes, options.batch)
        return training_batches(*given, seed=options.seed, augment=augment, rank=_rank(), workers=options.workers)

    def judged(self, indices: tuple[int, ...], rank: Rank | None = None) -> Batches | None:
        """In order, as they are; None of nothing."""
        if not indices:
            return None
        rank, workers, inputs = _rank() if rank is None else rank, self.options.workers, self.architecture.input
        if not isinstance(inputs, InputSpec):
            return kind_evaluation_batches(self.data, indices, inputs, self.options.batch, rank=rank, workers=workers)
        given = (FileSource(self.data), indices, inputs, self.sizes, self.options.batch)
        return evaluation_batches(*given, rank=rank, workers=workers)

    def config(self) -> dict[str, Any]:
        """What config.json says."""
        return {
            "options": asdict(self.options),
            "architecture": self.architecture.record(),
            "sizes": size_record(self.sizes),
        }


def check_names(options: TrainOptions) -> None:
    """Refuse names that cannot be meant before any picture is read."""
    trunk = trunk_call(options.trunk or "convnet")
    if trunk.name == "efficientnet_lite0" and options.weights is not None:
        raise GlobalPoolError("--weights", "a trunk named timm:NAME beside it", trunk.name)
    if options.tensorboard and options.mode == "frozen":
        raise GlobalPoolError("--tensorboard", "training with a curve, --mode full", "--mode frozen")
    if options.tensorboard:
        need("torch.utils.tensorboard", "tensorboard", "train --tensorboard")
    if options.boxes is not None:
        read_boxes_table(options.boxes)  # says now what is wrong with it, not after training
    pool_named(options.pool, 8)
    for name, value in (("--batch", options.batch), ("--pixels", options.pixels)):
        if value < 1:
            raise GlobalPoolError(name, "a positive number", str(value))
    if isinstance(options.size, int) and options.size < 1:
        raise GlobalPoolError("--size", "a positive number of pixels", str(options.size))
    if options.workers < 0:
        raise GlobalPoolError("--workers", "0 or more", str(options.workers))


def trunk_call(text: str) -> Call:
    """The trunk's name and widths."""
    call = call_named("--trunk", "a trunk", text, 'As in "convnet(32, 64, 128)".')
    known = [*MADE, *OWN]
    if call.name not in known and not call.name.startswith("timm:"):
        hint = f"Networks of timm are written timm:NAME. {guess(call.name, known)}".rstrip()
        raise GlobalPoolError("--trunk", f"{', '.join(known)} or timm:NAME", call.name, hint)
    if call.settings or (call.arguments and call.name not in MADE):
        raise GlobalPoolError("--trunk", f"settings for {', '.join(MADE)} alone, their widths", text)
    if not all(isinstance(width, int) and width > 0 for width in call.arguments):
        raise GlobalPoolError("--trunk", "widths as positive whole numbers", text)
    return call


def kind_asked(options: TrainOptions) -> type[InputKind] | None:
    """What kind of files the data are; None for pictures."""
    if options.kind == "pictures":
        return None
    return kind_of(options.data) if options.kind == "auto" else kind_named(options.kind)


def planned(
    options: TrainOptions, data: Examples, split: Split, kind: type[InputKind] | None = None
) -> tuple[Architecture, SizePolicy]:
    """How the classifier is built and at which sizes pictures go in, chosen by the options and the data."""
    if kind is not None:
        return _planned_kind(options, data, split, kind), Native()
    if options.inputs:
        raise GlobalPoolError("--inputs", "none beside pictures, which have options of their own", options.inputs)
    sizes = _size_policy(options, data)
    sides = [sum(sizes((example.size[0], example.size[1]))) / 2 for example in data.examples]
    spec = InputSpec(round(median(sides)), CENTRE, CENTRE)
    trunk = trunk_call(options.trunk or "convnet")
    if trunk.name.startswith("timm:"):
        known = network_named(trunk.name).spec
        spec = InputSpec(spec.size, known.mean, known.std)
    return Architecture(trunk, pool_call(options.pool), data.classes, spec, data.multi_label), sizes


def _planned_kind(options: TrainOptions, data: Examples, split: Split, kind: type[InputKind]) -> Architecture:
    for name in ("flip", "shift", "zoom", "light", "size", "boxes"):
        if value := getattr(options, name):
            raise GlobalPoolError(f"--{name}", f"an option of pictures beside pictures, not {kind.word}s", str(value))
    settings: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in options.inputs.split(","))):
        name, equals, value = entry.partition("=")
        if not equals:
            raise GlobalPoolError("--inputs", "NAME=VALUE, several separated by commas", entry)
        settings[name.strip()] = value.strip()
    inputs = kind.planned([data.examples[index].path for index in split.train], settings)
    trunk = trunk_call(options.trunk or kind.trunk)
    return Architecture(trunk, pool_call(options.pool), data.classes, inputs, data.multi_label)


def built(options: TrainOptions, architecture: Architecture) -> PooledClassifier:
    """The classifier as training begins with it: random numbers by the seed, the trunk's own weights where it has."""
    classifier = architecture.build(options.seed)
    name = architecture.trunk.name
    if name == "efficientnet_lite0":
        module = network_named(name).module
        assert isinstance(module, PooledClassifier), "networks of this package are"
        classifier.trunk.load_state_dict(module.trunk.state_dict())
    elif options.weights is not None:
        network: Any = network_named(name, options.weights).module
        network.reset_classifier(0, "")
        trunk = classifier.trunk
        own = trunk.network if isinstance(trunk, TokenTrunk | ChannelsFirst) else trunk
        own.load_state_dict(network.state_dict())
    return classifier.to(device_named(options.device))


def device_named(name: str) -> torch.device:
    """The device; of several graphics processors each process takes its own."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise GlobalPoolError("--device", "a graphics processor that torch can use", "none", "Pass --device cpu.")
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if there and name != "cpu" else torch.device("cpu")
    )


def join_processes(options: TrainOptions) -> None:
    """Under torchrun: meet the other processes."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if device_named(options.device).type == "cuda" else "gloo")


def leave_processes() -> None:
    """Part from the others again."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _rank() -> Rank:
    return Rank(processes.rank(), processes.count())


def _size_policy(options: TrainOptions, data: Examples) -> SizePolicy:
    if isinstance(options.size, int):
        return Fixed(options.size)
    known = [(example.size[0], example.size[1]) for example in data.examples]
    few = len(set(known)) <= SIZES and max(height * width for height, width in known) <= options.pixels
    if options.size == "native" or (options.size is None and few):
        return Native()
    return Buckets.of(known, pixels=options.pixels, count=SIZES)
