"""One full grid, at the input and at the map, also where it comes in a wrapping that says where it ends."""

from typing import Any

import torch
from torch import Tensor

from globalpool.audits.opened import Opened
from globalpool.layout import Padded


def as_tensor(x: Any) -> Tensor | None:
    """``x (1, C, *S)``, also that of padded samples that are one without padding; None of anything else.

    A measure may be there where it is the same everywhere.
    """
    if isinstance(x, Padded):
        full = len(x) == 1 and x.sizes[0].tolist() == list(x.values.shape[2:])
        return x.values if full and _even(x.measure) else None
    return x if isinstance(x, Tensor) and x.ndim > 2 else None


def like(x: Any, values: Tensor) -> Any:
    """``values (n, C, *S)`` of any size in the wrapping of ``x``, of which ``as_tensor`` gave a tensor."""
    if not isinstance(x, Padded):
        return values
    sizes = torch.tensor([tuple(values.shape[2:])], device=x.sizes.device).expand(len(values), -1)
    measure = None
    if x.measure is not None:
        measure = x.measure.flatten()[0].expand(len(values), *values.shape[2:]).clone()
    return Padded(values, sizes, measure)


def whole(at: Opened) -> bool:
    """Whether the map is a full grid on which every position counts alike."""
    return at.features.ndim > 2 and set(at.layout) <= {"mask"} and _even(at.layout.get("mask"))


def _even(measure: Tensor | None) -> bool:
    return measure is None or bool(((measure == measure.flatten()[0]) & (measure > 0)).all())
