"""One sample on a canvas larger than itself: how far its logits move."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from globalpool.audits.dilution import diluted
from globalpool.audits.grids import as_tensor, like
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
    level = _level(at)
    everywhere, real = level.expand(1, *canvas), inside(torch.tensor([size], device=wide.device), canvas) * level
    expected = diluted(at.pool, at.vectors(), size, canvas)
    return AtMap(
        moved(own, at.tell(at.pool(wide, mask=everywhere))),
        None if expected is None else moved(own, at.tell(expected)),
        moved(own, at.tell(at.pool(wide, mask=real))),
    )


def _level(at: Opened) -> Tensor:
    """What every position of a full grid counts."""
    mask = at.layout.get("mask")
    return torch.ones(1, device=at.features.device) if mask is None else mask.flatten()[:1].float()


def at_input(classifier: PooledClassifier, x: Any, size: tuple[int, ...], factor: float) -> AtInput:
    """One input, a full grid, whose own map has the lengths ``size``, on a canvas with ``factor`` times the pixels."""
    values = as_tensor(x)
    assert values is not None, "the caller has looked"
    own, wide = classifier(x), enlarged(values, grown(tuple(values.shape[2:]), factor))
    whole_canvas = like(x, wide)
    at = opened(classifier, whole_canvas)
    real = inside(torch.tensor([size], device=wide.device), tuple(at.features.shape[2:])) * _level(at)
    told = None
    if isinstance(classifier.trunk, PaddedSequential):
        sizes = torch.tensor([tuple(values.shape[2:])], device=wide.device)
        measure = whole_canvas.measure if isinstance(whole_canvas, Padded) else None
        if measure is not None:
            measure = measure * inside(sizes, tuple(wide.shape[2:]))
        told = moved(own, classifier(Padded(wide, sizes, measure)))
    return AtInput(moved(own, at.logits()), moved(own, at.tell(at.pool(at.features, mask=real))), told)
