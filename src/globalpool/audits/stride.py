"""How far apart the positions of a map stand in the input, and how far each of them sees."""

from dataclasses import dataclass

import torch
from torch import Tensor

from globalpool.audits.opened import opened_dense
from globalpool.audits.samples import middle
from globalpool.classifier import PooledClassifier


@dataclass(frozen=True)
class Reach:
    """By spatial axis: ``stride``, and ``diameter``, an upper bound of the receptive field, in input positions.

    ``whole``: whether the input is a whole number of strides, as exact invariance to shifts needs.
    """

    stride: tuple[int, ...]
    diameter: tuple[int, ...]
    whole: bool


def whole(classifier: PooledClassifier, x: Tensor) -> tuple[Tensor, Reach]:
    """The middle of ``x (1, C, *S)`` that is a whole number of strides, where there is one, and its reach."""
    found = reach(classifier, x)
    if not found.whole:
        cropped = middle(x, [max(own, side // own * own) for side, own in zip(x.shape[2:], found.stride, strict=True)])
        again = reach(classifier, cropped)
        if again.whole:
            return cropped, again
    return x, found


@torch.no_grad()
def reach(classifier: PooledClassifier, x: Tensor) -> Reach:
    """Of one input ``x (1, C, *S)``: a NaN in its middle reaches exactly the positions that see it.

    A position every ``stride`` inputs sees it, so ``touched`` of them in a row mean fields of less than
    ``(touched + 1) * stride``.
    """
    size = x.shape[2:]
    marked = x.clone()
    middle: tuple[slice | int, ...] = (slice(None), slice(None), *(side // 2 for side in size))
    marked[middle] = float("nan")
    seen = opened_dense(classifier, marked).features.isnan().any(1)[0]
    stride = tuple(max(1, round(side / positions)) for side, positions in zip(size, seen.shape, strict=True))
    whole = all(side == own * n for side, own, n in zip(size, stride, seen.shape, strict=True))
    diameters = []
    for axis, own in enumerate(stride):
        along = seen.movedim(axis, 0).reshape(seen.shape[axis], -1).any(1)
        diameters.append(int(along.sum() + 1) * own)
    return Reach(stride, tuple(diameters), whole)
