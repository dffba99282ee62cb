"""A fitted linear layer in float64, before it is written anywhere."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Solution:
    """``weight (K, F)``, ``bias (K,)``; called with vectors ``(B, F)`` it gives outputs ``(B, K)``."""

    weight: Tensor
    bias: Tensor

    def __call__(self, vectors: Tensor) -> Tensor:
        return vectors.double() @ self.weight.T + self.bias
