"""Second derivatives: a gradient that will itself be differentiated is taken through plain torch operations."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def through(
    plain: Callable[[], Sequence[Tensor]], inputs: Sequence[Tensor | None], gradients: Sequence[Tensor]
) -> list[Tensor | None]:
    """Gradients of ``plain()`` by its ``inputs`` (None where one needs none), connected to all they are made of."""
    wanted = [entry for entry in inputs if entry is not None and entry.requires_grad]
    with torch.enable_grad():
        values = plain()
        pairs = [(value, own) for value, own in zip(values, gradients, strict=True) if value.requires_grad]
        found = iter(
            torch.autograd.grad(
                [value for value, _ in pairs], wanted, [own for _, own in pairs], create_graph=True, allow_unused=True
            )
        )
    return [next(found) if entry is not None and entry.requires_grad else None for entry in inputs]


def segments(ptr: Tensor, rows: int) -> Tensor:
    """The sample of each row ``(T,)`` for ``ptr (N + 1,)``."""
    samples = torch.arange(ptr.shape[0] - 1, device=ptr.device)
    return torch.repeat_interleave(samples, ptr.diff(), output_size=rows)
