"""Inputs as tensors, where they are one full grid in a wrapping."""

from typing import Any

from torch import Tensor

from globalpool.layout import Padded


def as_tensor(x: Any) -> Tensor | None:
    """``x (1, C, *S)``, also of padded samples that are one without padding or measure; None of anything else."""
    if isinstance(x, Padded) and len(x) == 1 and x.measure is None and x.sizes[0].tolist() == list(x.values.shape[2:]):
        return x.values
    return x if isinstance(x, Tensor) and x.ndim > 2 else None
