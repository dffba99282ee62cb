"""What ``globalpool slim`` writes: weights in safetensors and a card in JSON beside them; read again as one."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.cli.names import pool_named
from globalpool.cli.new_head import kept
from globalpool.cli.state_dicts import read_tensors
from globalpool.errors import DataError
from globalpool.extras import need
from globalpool.pools import Pool

FORMAT = "globalpool slim 1"
AGAIN = "Write both files again by globalpool slim, or name the network of a state dict by --architecture."


@dataclass(frozen=True)
class Card:
    """The card: ``architecture`` and ``pool`` as on the command line, how pictures go in, and what is known.

    ``weights``: SHA-256 of the weights file it belongs to, so that two runs cannot be mixed.
    """

    architecture: str
    pool: str
    classes: tuple[str, ...]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: str
    facts: Mapping[str, Any]

    def build_pool(self, channels: int) -> Pool:
        """The pool for features of that many channels."""
        return pool_named(self.pool, channels)


@dataclass(frozen=True, eq=False)
class SlimFile:
    """A card and the tensors it belongs to."""

    card: Card
    tensors: dict[str, Tensor]

    def fill(self, base: nn.Module, classifier: PooledClassifier, file: Path) -> None:
        """Put the tensors into ``classifier``, whose trunk shares the parameters of ``base``."""
        places = _places(base, classifier)
        wrong = sorted(places.keys() ^ self.tensors.keys()) or [
            key for key, place in places.items() if place.shape != self.tensors[key].shape
        ]
        if wrong:
            got = f"a difference in {', '.join(wrong[:3])}" + (f" and {len(wrong) - 3} more" if wrong[3:] else "")
            raise DataError(str(file), f"the weights of a slim {self.card.architecture}", got, AGAIN)
        with torch.no_grad():
            for key, place in places.items():
                place.copy_(self.tensors[key])


def write_slim(file: Path, base: nn.Module, classifier: PooledClassifier, card: Callable[[str], Card]) -> None:
    """Both files, each complete or not at all; ``card`` makes the card from the weights' SHA-256."""
    save = need("safetensors.torch", "images", "writing weights").save
    content = save({key: tensor.detach().contiguous().clone() for key, tensor in _places(base, classifier).items()})
    made = asdict(card(hashlib.sha256(content).hexdigest()))
    text = json.dumps({"format": FORMAT, **made}, indent=2, ensure_ascii=True) + "\n"
    for target, data in ((file, content), (file.with_suffix(".json"), text.encode())):
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            temporary.write_bytes(data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def read_slim(file: Path) -> SlimFile:
    """Weights and card; DataError where either is missing, damaged, or of another run."""
    tensors = read_tensors(file)
    beside = file.with_suffix(".json")
    if not beside.is_file():
        raise DataError(str(file), f"its card {beside.name} beside it", "no such file", AGAIN)
    try:
        known = json.loads(beside.read_text(encoding="utf-8"))
        if known.pop("format") != FORMAT:
            raise ValueError(f"a card that does not say {FORMAT!r}")
        card = Card(**known)
        card = Card(
            str(card.architecture),
            str(card.pool),
            tuple(str(entry) for entry in card.classes),
            int(card.size),
            tuple(float(entry) for entry in card.mean),
            tuple(float(entry) for entry in card.std),
            str(card.weights),
            dict(card.facts),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            str(beside), "a card that globalpool slim wrote", f"{type(error).__name__}: {error}", AGAIN
        ) from error
    if hashlib.sha256(file.read_bytes()).hexdigest() != card.weights:
        raise DataError(str(beside), f"the card of {file.name}", "the card of other weights", AGAIN)
    return SlimFile(card, tensors)


def _places(base: nn.Module, classifier: PooledClassifier) -> dict[str, Tensor]:
    """Every tensor of the classifier under its name in the file."""
    return {
        **{f"trunk.{name}": tensor for name, tensor in kept(base, classifier.trunk).items()},
        **{f"pool.{name}": tensor for name, tensor in classifier.pool.state_dict().items()},
        **{f"head.{name}": tensor for name, tensor in classifier.tail.state_dict().items()},
    }
