"""Files that are there whole or not at all, and tensors with a proof that they are the ones written."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from globalpool.errors import DataError
from globalpool.extras import need

PART = ".part"
#: The entry of the header.
CARD = "globalpool"


@dataclass(frozen=True, eq=False)
class Stored:
    """Tensors by name, and what else is known about them (anything JSON can hold)."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def write_whole(path: Path, content: bytes) -> None:
    """Replace ``path`` in one step that survives a power cut: an interruption or a full disk leaves what was there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name itself
    finally:
        os.close(folder)


def remove_parts(folder: Path) -> None:
    """Delete what a killed process left half written."""
    for path in folder.glob(f".*{PART}"):
        path.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """One safetensors file; facts and the SHA-256 of everything are in its header."""
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(facts, sort_keys=True)
    # One entry: safetensors writes several in any order, and equal runs would not be equal files.
    card = json.dumps({"sha256": _sha256(whole, text), "facts": text})
    write_whole(path, need("safetensors.torch", "images", "writing weights").save(whole, {CARD: card}))


def read_tensors(path: Path) -> Stored:
    """What ``write_tensors`` wrote; DataError where it is missing, cut, changed or something else."""
    safetensors = need("safetensors", "images", "reading weights")
    if not path.is_file():
        raise DataError(str(path), "a file with weights", "no such file")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(str(path), "a whole safetensors file", str(error)) from error
    try:
        card = json.loads(metadata[CARD])
        text, expected = card["facts"], card["sha256"]
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(str(path), "a file written in training", "one without its card") from error
    if _sha256(tensors, text) != expected:
        raise DataError(str(path), "contents with the SHA-256 written beside them", "contents with another one")
    return Stored(tensors, json.loads(text))


def _sha256(tensors: Mapping[str, Tensor], text: str) -> str:
    total = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
