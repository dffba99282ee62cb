"""Boxes that CutMix pastes: which positions of a grid come from the other sample."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

#: At the edge a box is cut off ("clip", Yun et al. 2019) or goes on at the other side ("wrap").
Border = Literal["clip", "wrap"]


def box_mask(size: Sequence[int], centre: Sequence[int], lengths: Sequence[int], border: Border) -> Tensor:
    """Bool ``(*size)``, True in the box whose axis ``i`` covers ``lengths[i]`` positions around ``centre[i]``.

    The box begins ``lengths // 2`` before its centre and has the whole length, odd ones too; "clip" leaves out
    what lies outside the grid.
    """
    mask = torch.ones(tuple(size), dtype=torch.bool)
    for axis, (side, middle, length) in enumerate(zip(size, centre, lengths, strict=True)):
        after = torch.arange(side) - (middle - length // 2)
        inside = (after % side if border == "wrap" else after) < length
        inside &= (after >= 0) | (border == "wrap")
        mask &= inside.reshape([-1 if other == axis else 1 for other in range(len(size))])
    return mask


def drawn_box(size: Sequence[int], share: float, border: Border, random: np.random.Generator) -> Tensor:
    """The mask of a box that holds about ``1 - share`` of the grid, its centre uniform over all positions.

    Each side is ``floor((1 - share)^(1 / axes) * side)``, as in CutMix. How much it really holds, after rounding and
    clipping, is ``mask.double().mean()``: labels go by that, not by ``share``.
    """
    ratio = (1 - share) ** (1 / len(size))
    centre = [int(random.integers(side)) for side in size]
    return box_mask(size, centre, [int(ratio * side) for side in size], border)


def every_box(size: Sequence[int], lengths: Sequence[int], border: Border) -> Tensor:
    """The masks ``(prod(size), *size)`` of the box at every centre.

    With "wrap" each position lies in equally many boxes, so anything affine in the mask averages to its value at the
    area's share; with "clip" positions at the edge lie in fewer.
    """
    return torch.stack([box_mask(size, centre, lengths, border) for centre in np.ndindex(*size)])
