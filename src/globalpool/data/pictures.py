"""Pictures as one kind of input among others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.data.buckets import Native, SizePolicy
from globalpool.data.facts import Facts, picture_facts
from globalpool.data.images import SUFFIXES, Picture, read_picture
from globalpool.data.kinds import InputKind
from globalpool.data.prepare import prepare
from globalpool.errors import DataError

NATIVE = Native()


@dataclass(frozen=True)
class Pictures(InputKind):
    """``spec``: how pixels are scaled; ``sizes``: the height and width at which each picture goes in.

    A batch has one part for each size, so that no padding enters a convolution.
    """

    spec: InputSpec
    sizes: SizePolicy = NATIVE

    kind: ClassVar[str] = "pictures"
    word: ClassVar[str] = "picture"
    extra: ClassVar[str] = "images"
    dims: ClassVar[int] = 2
    suffixes: ClassVar[frozenset[str]] = SUFFIXES

    @property
    def channels(self) -> int:
        return len(self.spec.mean)

    @classmethod
    def facts(cls, path: Path) -> Facts:
        return picture_facts(path)

    @classmethod
    def planned(cls, files: Sequence[Path], settings: Mapping[str, str]) -> Self:
        raise DataError("Pictures", "a specification made by globalpool train", "settings of another kind")

    def read(self, path: Path) -> Picture:
        return read_picture(path)

    def prepare(self, item: Picture) -> Tensor:
        height, width = item.pixels.shape[:2]
        return prepare(item, self.spec, self.sizes((height, width)))[0]

    def collate(self, samples: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Samples of one size are one part, if they follow each other."""
        parts: list[list[Tensor]] = []
        for sample in samples:
            if not parts or parts[-1][0].shape != sample.shape:
                parts.append([])
            parts[-1].append(sample)
        return tuple(torch.stack(part) for part in parts)

    def stand_in(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, self.channels, self.spec.size, self.spec.size),)


def inputs_of(classifier: PooledClassifier, sizes: SizePolicy | None = None) -> InputKind:
    """How a classifier's inputs are made from files; ``sizes``: of pictures, None for their own.

    DataError for a classifier that does not say.
    """
    return as_kind(classifier.input_spec, sizes)


def as_kind(spec: Any, sizes: SizePolicy | None = None) -> InputKind:
    """A specification of inputs as a kind; of an ``InputSpec`` pictures at ``sizes``."""
    if isinstance(spec, InputSpec):
        return Pictures(spec, NATIVE if sizes is None else sizes)
    if isinstance(spec, InputKind):
        return spec
    hint = "Pass input_spec=InputSpec(size, mean, std) when you build it."
    raise DataError("input_spec", "a classifier that says how files are prepared", f"input_spec={spec}", hint)
