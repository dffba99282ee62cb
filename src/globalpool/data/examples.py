"""Labelled files: what a folder or a table of examples becomes before anything is decoded for training."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Example:
    """One readable file and its classes.

    ``labels``: class ids, exactly one unless the examples are multi-label; ``size``: its spatial lengths (height and
    width in pixels); ``content``: SHA-256 of its shape and decoded values, equal for copies under any name or format;
    ``group``: examples of one group (a patient, a video) never part; None where nobody named one. ``part``: where
    somebody said so; ``look``: a thumbnail that near copies share (``data.near``); ``grey``: no colour in it.
    """

    path: Path
    labels: tuple[int, ...]
    size: tuple[int, ...]
    content: str
    group: str | None = None
    part: Part | None = None
    look: bytes = field(default=b"", repr=False)
    grey: bool = False


@dataclass(frozen=True)
class Examples:
    """``classes``: names, by id; ``left_out``: (path, reason) of files that are not used.

    ``root``: the folder that paths in records are relative to; ``word``: what errors call a sample.
    """

    root: Path
    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    multi_label: bool = False
    word: str = "picture"

    def __len__(self) -> int:
        return len(self.examples)


def class_targets(data: Examples) -> Tensor:
    """Class ids ``(N,)``, or for several labels ``(N, K)`` of zeros and ones."""
    if not data.multi_label:
        return torch.tensor([example.labels[0] for example in data.examples], dtype=torch.long)
    targets = torch.zeros(len(data), len(data.classes))
    for row, example in enumerate(data.examples):
        targets[row, list(example.labels)] = 1
    return targets
