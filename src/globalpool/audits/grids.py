"""Inputs as tensors, where they are one full grid in a wrapping."""

from typing import Any

from torch import Tensor

from globalpool.layout import Padded


def as_tensor(x: Any) -> Tensor | None:
    """``x (1, C, *S)``, also of one padded sample whose positions are all there and count 1; None of anything else."""
    if isinstance(x, Padded) and len(x) == 1 and x.sizes[0].tolist() == list(x.values.shape[2:]):
        return x.values if x.measure is None or bool((x.measure == 1).all()) else None
    return x if isinstance(x, Tensor) and x.ndim > 2 else None
