"""A network by its name or its file."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.cli.libraries import build, find, input_spec, labels
from globalpool.cli.names import MODELS
from globalpool.cli.new_head import example_input, with_new_head
from globalpool.cli.sizes import size_policy
from globalpool.cli.slim_files import SlimFile, read_slim
from globalpool.cli.state_dicts import load, read_tensors
from globalpool.data import SizePolicy
from globalpool.errors import DataError, GlobalPoolError
from globalpool.surgery import adopt
from globalpool.training import RunFolder, load_run
from globalpool.training.saved import run_architecture


@dataclass(frozen=True, eq=False)
class Network:
    """``module`` in eval mode maps inputs prepared by ``spec`` to logits; of pictures ``(N, 3, H, W)``.

    ``architecture`` is the name that builds ``base``, whose state dict names the weights of the trunk; ``notes`` are
    sentences the user has to read. ``base`` is ``module`` except for files that ``globalpool slim`` wrote. ``sizes``:
    at which size each picture went in, where a run says so; ``multi_label``: logits are judged one by one.
    """

    name: str
    architecture: str
    module: nn.Module
    base: nn.Module
    spec: Any  # an InputSpec, or an InputKind of other files
    labels: tuple[str, ...] | None
    notes: tuple[str, ...] = ()
    sizes: SizePolicy | None = None
    multi_label: bool = False


def network_named(model: str, weights: str | None = None, architecture: str | None = None) -> Network:
    """The network of a name or a file; names come first, of ``MODELS``, then timm, then torchvision."""
    if model in MODELS:
        if weights is not None or architecture is not None:
            raise GlobalPoolError(
                "model", f"{model} with its packaged weights", "--weights or --architecture beside it"
            )
        return _own(model)
    if Path(model).is_dir() and Path(model).suffix != ".safetensors":
        if weights is not None or architecture is not None:
            raise GlobalPoolError("model", f"the run {model} by itself", "--weights or --architecture beside it")
        return _run(Path(model))
    if model.endswith(".safetensors") or os.sep in model or Path(model).is_file():
        if weights is not None:
            raise GlobalPoolError("--weights", "a named model beside it", f"the file {model}", "Give one of the two.")
        return _slim(Path(model)) if architecture is None else _of_library(architecture, Path(model))
    if architecture is not None:
        hint = "A named model takes its state dict by --weights FILE."
        raise GlobalPoolError("--architecture", "a model that is a .safetensors file", model, hint)
    return _of_library(model, None if weights is None else Path(weights))


def classifier_of(network: Network, size: int) -> PooledClassifier:
    """Trunk, pool and tail of the network at inputs of ``size``, with labels and input specification."""
    if isinstance(network.module, PooledClassifier):
        return network.module
    classifier = adopt(network.module, example_input(size))
    classifier.labels, classifier.input_spec = network.labels, network.spec
    return classifier


def input_size(network: Network, size: int | None) -> int:
    """``size`` where it is given and possible, otherwise what the network was trained at."""
    if not isinstance(network.spec, InputSpec):
        hint = f"This network takes {network.spec.word}s, at their own size."
        raise GlobalPoolError("model", "a network of pictures", network.name, hint)
    if size is not None and size < 1:
        raise GlobalPoolError("--size", "a positive number of pixels", str(size))
    return network.spec.size if size is None else size


def _own(name: str) -> Network:
    classifier = MODELS[name]()
    assert classifier.input_spec is not None, f"{name} says how pictures are prepared"
    return Network(name, name, classifier, classifier, classifier.input_spec, classifier.labels)


def _run(folder: Path) -> Network:
    classifier = load_run(folder)
    assert classifier.input_spec is not None, "a run says how inputs are prepared"
    sizes = size_policy(RunFolder.open(folder).config().get("sizes", {}))
    name, spec, multi = str(folder), classifier.input_spec, run_architecture(RunFolder.open(folder)).multi_label
    return Network(name, name, classifier, classifier, spec, classifier.labels, sizes=sizes, multi_label=multi)


def _of_library(name: str, weights: Path | None) -> Network:
    library, plain, both = find(name, list(MODELS))
    architecture = f"{library}:{plain}"
    notes = [both] if both else []
    if weights is None:
        module = build(library, plain)
        notes.append(f"{architecture} has RANDOM weights: nothing is downloaded; give trained ones by --weights FILE.")
    else:
        module = load(library, plain, read_tensors(weights), weights)
    classes = getattr(module, "num_classes", None) if library == "timm" else None
    outputs = classes if isinstance(classes, int) else _outputs(module)
    spec, names = input_spec(library, plain, module), labels(library, plain, module, outputs)
    shown = architecture if weights is None else f"{architecture} with {weights.name}"
    return Network(shown, architecture, module, module, spec, names, tuple(notes))


def _outputs(module: nn.Module) -> int:
    """Rows of the last weight: torchvision's classifiers end in the layer that makes the logits."""
    return int([parameter for parameter in module.parameters() if parameter.ndim > 1][-1].shape[0])


def _slim(file: Path) -> Network:
    slim = read_slim(file)
    card = slim.card
    base = _base(slim, file)
    spec = InputSpec(card.size, card.mean, card.std)
    classifier = with_new_head(base, card.build_pool, len(card.classes), _trained(card.architecture, base), card.size)
    slim.fill(base, classifier, file)
    classifier.labels, classifier.input_spec = card.classes, spec
    return Network(str(file), card.architecture, classifier, base, spec, card.classes)


def trained_size(network: Network) -> int:
    """The side in pixels at which the named architecture is trained."""
    return _trained(network.architecture, network.base)


def _trained(architecture: str, base: nn.Module) -> int:
    if isinstance(base, PooledClassifier):
        assert base.input_spec is not None, "networks of this package say how pictures are prepared"
        return int(base.input_spec.size)
    library, plain, _ = find(architecture, [])
    return input_spec(library, plain, base).size


def _base(slim: SlimFile, file: Path) -> nn.Module:
    name = slim.card.architecture
    if name in MODELS:
        return MODELS[name]()
    try:
        library, plain, _ = find(name, [])
    except GlobalPoolError as error:
        hint = "Install the version of timm or torchvision that the card names."
        raise DataError(str(file.with_suffix(".json")), "an architecture that can be built here", name, hint) from error
    return build(library, plain)
