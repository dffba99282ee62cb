"""Views of a picture: what an augmentation makes of each, drawn from one generator."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from globalpool.errors import TrainingError
from globalpool.extras import need
from globalpool.training.draws import global_torch

#: One prepared picture ``(C, H, W)`` to another of the same size: a transform of ``torchvision.transforms.v2``, say.
View = Callable[[Tensor], Tensor]


def weak_view(shift: float = 0.125, *, flip: float = 0.0, fill: float = 0.0) -> View:
    """A shift by up to ``shift`` of the sides, and with probability ``flip`` a mirror image.

    ``fill``: what comes in from outside, in units of the prepared picture (0 is the mean colour). FixMatch's own weak
    view has ``flip=0.5``, which digits and text do not bear.
    """
    transforms = need("torchvision.transforms.v2", "images", "weak_view")
    moved = transforms.RandomAffine(degrees=0, translate=(shift, shift), fill=fill)
    view: View = transforms.Compose([moved, transforms.RandomHorizontalFlip(flip)])
    return view


def strong_view(
    shift: float = 0.125,
    *,
    degrees: float = 20.0,
    scale: tuple[float, float] = (0.8, 1.2),
    shear: float = 10.0,
    erase: float = 0.5,
    flip: float = 0.0,
    fill: float = 0.0,
) -> View:
    """A weak view, turned, scaled and sheared too, in which with probability ``erase`` a rectangle is erased.

    Of shape alone: colours of prepared pictures are no longer in the range that colour transforms expect. Where yours
    are, give any other transform in its place.
    """
    transforms = need("torchvision.transforms.v2", "images", "strong_view")
    bilinear = transforms.InterpolationMode.BILINEAR
    moved = transforms.RandomAffine(degrees, (shift, shift), scale, shear, interpolation=bilinear, fill=fill)
    erased = transforms.RandomErasing(erase, scale=(0.02, 0.2), value=fill)
    view: View = transforms.Compose([moved, transforms.RandomHorizontalFlip(flip), erased])
    return view


def viewed(view: View, parts: Sequence[Tensor], random: torch.Generator) -> tuple[Tensor, ...]:
    """Every picture of the parts by a view of its own; sizes stay as they are."""
    result = []
    with global_torch(random):
        for part in parts:
            seen = [view(picture) for picture in part]
            other = next((picture.shape for picture in seen if picture.shape != part.shape[1:]), None)
            if other is not None:
                hint = "A batch holds its sizes: crop inside a view only to resize back."
                raise TrainingError("viewed", f"views of the size {tuple(part.shape[1:])}", str(tuple(other)), hint)
            result.append(torch.stack(seen))
    return tuple(result)
