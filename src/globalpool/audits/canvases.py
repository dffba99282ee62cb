"""One sample on a canvas larger than itself: how far its logits move."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import pad

from globalpool.audits.dilution import diluted
from globalpool.audits.opened import Opened, opened
from globalpool.classifier import PooledClassifier
from globalpool.layout import Padded, inside
from globalpool.models import PaddedSequential


@dataclass(frozen=True)
class AtMap:
    """Moves of the logits with zeros around the map: ``careless`` without a mask, as counts say, and ``masked``."""

    careless: float
    predicted: float | None
    masked: float


@dataclass(frozen=True)
class AtInput:
    """With zeros around the input: ``careless``, ``masked`` at the map alone, and ``told``, as padded samples.

    ``told`` is None for trunks that take tensors alone.
    """

    careless: float
    masked: float
    told: float | None


def grown(own: Sequence[int], factor: float) -> tuple[int, ...]:
    """Lengths of a canvas with at least ``factor`` times the positions, every axis in proportion."""
    return tuple(ceil(side * factor ** (1 / len(own)) - 1e-9) for side in own)


def enlarged(values: Tensor, canvas: Sequence[int]) -> Tensor:
    """``(N, C, *S)`` in the corner where indices begin, zeros beyond."""
    widths = [width for side, own in zip(canvas[::-1], values.shape[:1:-1], strict=True) for width in (0, side - own)]
    return pad(values, widths)


def moved(own: Tensor, other: Tensor) -> float:
    """The largest change of a logit of one sample ``(1, K)``, in logits."""
    return float((other.double() - own.double()).abs().max())


def at_map(at: Opened, factor: float) -> AtMap:
    """The map of one sample on a canvas with ``factor`` times the positions."""
    size = tuple(at.features.shape[2:])
    canvas, own = grown(size, factor), at.logits()
    wide = enlarged(at.features, canvas)
    mask = inside(torch.tensor([size], device=wide.device), canvas)
    expected = diluted(at.pool, at.vectors(), size, canvas)
    return AtMap(
        moved(own, at.tell(at.pool(wide))),
        None if expected is None else moved(own, at.tell(expected)),
        moved(own, at.tell(at.pool(wide, mask=mask))),
    )


def at_input(classifier: PooledClassifier, x: Tensor, size: tuple[int, ...], factor: float) -> AtInput:
    """One input whose own map has the lengths ``size``, on a canvas with ``factor`` times the pixels."""
    own, wide = classifier(x), enlarged(x, grown(tuple(x.shape[2:]), factor))
    at = opened(classifier, wide)
    mask = inside(torch.tensor([size], device=x.device), tuple(at.features.shape[2:]))
    told = None
    if isinstance(classifier.trunk, PaddedSequential):
        told = moved(own, classifier(Padded(wide, torch.tensor([tuple(x.shape[2:])], device=x.device))))
    return AtInput(moved(own, at.logits()), moved(own, at.tell(at.pool(at.features, mask=mask))), told)
