"""What a batch of examples of mixed sizes is."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of one step, grouped by size so that no padding ever enters a convolution.

    ``parts``: tensors ``(n, C, *size)``, one size each, together N samples; or one part of another kind that the trunk
    takes whole (``Padded`` samples, a batch of graphs); ``targets``: class ids ``(N,)`` or, for
    several labels and for mixed ones, shares ``(N, K)``, in the order of the parts; ``indices (N,)``: which examples
    of their set these are.
    """

    parts: tuple[Any, ...]
    targets: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on ``device``."""
        return type(self)(
            tuple(part.to(device) for part in self.parts), self.targets.to(device), self.indices.to(device)
        )
