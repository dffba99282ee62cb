"""Names of models, pools and classes, turned into objects."""

from collections.abc import Callable
from difflib import get_close_matches

import torch
from torch import Tensor

from globalpool import pools
from globalpool.classifier import PooledClassifier
from globalpool.errors import GlobalPoolError
from globalpool.models import efficientnet_lite0

MODELS: dict[str, Callable[[], PooledClassifier]] = {"efficientnet_lite0": efficientnet_lite0}


def pool_names() -> dict[str, type[pools.Pool]]:
    """Command-line name of each pool in ``pools.ALL``, read at each call."""
    return {pool.__name__.lower(): pool for pool in pools.ALL}


def model_named(name: str) -> PooledClassifier:
    """The classifier of that name, in eval mode."""
    if name not in MODELS:
        raise GlobalPoolError("--model", f"one of {', '.join(MODELS)}", name, _guess(name, list(MODELS)))
    return MODELS[name]()


def classes_named(text: str, labels: tuple[str, ...] | None) -> str | Tensor:
    """``top<k>`` as it is; otherwise the ids ``(k,)`` of names or ids separated by commas."""
    if text.startswith("top") and text[3:].isdecimal():
        return text
    ids: list[int] = []
    for entry in (part.strip() for part in text.split(",")):
        if entry.isdecimal():
            ids.append(int(entry))
        elif labels is not None and entry in labels:
            same = [str(index) for index, label in enumerate(labels) if label == entry]
            if len(same) > 1:
                raise GlobalPoolError(
                    "--classes", "a name of one class", f"{entry!r}, ids {' and '.join(same)}", "Give an id."
                )
            ids.append(int(same[0]))
        else:
            raise GlobalPoolError(
                "--classes", "top1, top3, ..., class ids or class names", repr(entry), _guess(entry, list(labels or ()))
            )
    return torch.tensor(list(dict.fromkeys(ids)))


def _guess(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else ""
