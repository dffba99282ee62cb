"""Networks of timm and torchvision by name: built with random numbers, never downloaded."""

from typing import Literal, cast

import torch
from torch import nn

from globalpool.classifier import InputSpec
from globalpool.cli.names import guess
from globalpool.errors import GlobalPoolError
from globalpool.extras import need

Library = Literal["timm", "torchvision"]
LIBRARIES: tuple[Library, ...] = ("timm", "torchvision")
#: Networks that torchvision builds with auxiliary classifiers, which evaluation never uses.
AUXILIARY = ("googlenet", "inception_v3")


def find(name: str, known: list[str]) -> tuple[Library, str, str]:
    """Library, plain name and a sentence where both libraries know it (timm comes first); ``known``: other names."""
    prefix, colon, plain = name.partition(":")
    if colon and prefix not in LIBRARIES:
        raise GlobalPoolError("model", "timm:NAME or torchvision:NAME", name, "Networks are never downloaded.")
    library = cast(Library, prefix) if colon else None
    plain = plain if colon else name
    holders = [entry for entry in LIBRARIES if library in (None, entry) and _has(entry, plain)]
    if not holders:
        names = sorted({*known, *(found for entry in LIBRARIES if library in (None, entry) for found in _names(entry))})
        where = f"a network of {library}" if library else "one of `globalpool models`, timm, torchvision, or a file"
        hint = (
            guess(plain, known)
            or guess(plain, names)
            or "timm.list_models() and torchvision.models.list_models() name them."
        )
        raise GlobalPoolError("model", where, name, hint)
    both = f"{plain} is a name of timm and of torchvision; this is timm's (torchvision:{plain} is the other)."
    return holders[0], plain, both if len(holders) > 1 else ""


def build(library: Library, name: str, num_classes: int | None = None) -> nn.Module:
    """The network in eval mode with random numbers, the same at every call."""
    settings = {} if num_classes is None else {"num_classes": num_classes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            if library == "timm":
                model: nn.Module = need("timm", "images", "model").create_model(name, pretrained=False, **settings)
            else:
                models = need("torchvision", "images", "model").models
                plain = {"aux_logits": False, "init_weights": False} if name in AUXILIARY else {}
                model = models.get_model(name, weights=None, **plain, **settings)
        except (RuntimeError, ValueError, TypeError, ImportError) as error:
            got = f"{name}, for which it says: {error}".rstrip(".")
            raise GlobalPoolError("model", f"a network {library} can build here", got) from error
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1 and not parameter.any():  # some heads start with zeros, which say nothing
                    parameter.normal_(std=0.02)
    return model.eval()


def input_spec(library: Library, name: str, model: nn.Module) -> InputSpec:
    """What the library's own weights of this name want."""
    if library == "timm":
        known = model.pretrained_cfg
        return InputSpec(int(known["input_size"][-1]), tuple(known["mean"]), tuple(known["std"]))  # type: ignore
    preset = _torchvision_weights(name).transforms()
    return InputSpec(int(preset.crop_size[0]), tuple(preset.mean), tuple(preset.std))


def labels(library: Library, name: str, model: nn.Module, num_classes: int) -> tuple[str, ...] | None:
    """Names of the classes the library's own weights tell apart, where there are as many; None: not known."""
    if library == "torchvision":
        found = tuple(_torchvision_weights(name).meta["categories"])
        return found if len(found) == num_classes else None
    data = need("timm.data", "images", "model")
    subset = data.infer_imagenet_subset(model)
    info = None if subset is None else data.ImageNetInfo(subset)
    if info is None or info.num_classes() != num_classes:
        return None
    return tuple(info.index_to_description(index).split(",")[0] for index in range(num_classes))


def _torchvision_weights(name: str):  # type: ignore
    return need("torchvision", "images", "model").models.get_model_weights(name).DEFAULT


def _has(library: Library, name: str) -> bool:
    if library == "timm":
        return bool(need("timm", "images", "model").is_model(name))
    return name in _names(library)


def _names(library: Library) -> list[str]:
    if library == "timm":
        return list(need("timm", "images", "model").list_models())
    models = need("torchvision", "images", "model").models
    return list(models.list_models(module=models))
