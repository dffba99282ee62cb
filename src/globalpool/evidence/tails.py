"""The tail of a network, pooled vector to logits, as the affine map it is in eval mode.

Tails that are affine only for one sample (norms, activations) will join here as their held linear map; until then
they are refused by name.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from globalpool.errors import EvidenceError

IDENTITIES = (nn.Identity, nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Flatten)


@dataclass(frozen=True, eq=False)
class AffineMap:
    """``logits = weight @ vector + bias``: ``weight (K, F)``, ``bias (K,)`` or None for zero."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, vectors: Tensor) -> Tensor:
        """``(N, F) -> (N, K)``."""
        return nn.functional.linear(vectors.to(self.weight.dtype), self.weight, self.bias)

    def offset(self) -> Tensor:
        """``(K,)``: the logits of a zero vector."""
        return self.weight.new_zeros(self.weight.shape[0]) if self.bias is None else self.bias


def is_affine(tail: nn.Module) -> bool:
    """Whether the tail, in its present mode, is an affine map that ``affine_map`` can write down."""
    if isinstance(tail, nn.Sequential):
        return all(is_affine(part) for part in tail)
    if isinstance(tail, nn.BatchNorm1d):
        return tail.running_mean is not None and not tail.training
    if isinstance(tail, IDENTITIES):
        return not (tail.training and isinstance(tail, nn.Dropout | nn.AlphaDropout | nn.FeatureAlphaDropout))
    return isinstance(tail, nn.Linear)


def affine_map(tail: nn.Module) -> AffineMap:
    """The affine map of ``tail`` in eval mode, composed from its parts; raises EvidenceError for other modules."""
    parts = [part for part in _flat(tail) if not isinstance(part, IDENTITIES)]
    if len(parts) == 1 and isinstance(parts[0], nn.Linear):
        return AffineMap(parts[0].weight, parts[0].bias)
    composed: AffineMap | None = None
    for part in parts:
        if isinstance(part, nn.Linear):
            step = AffineMap(part.weight, part.bias)
        elif isinstance(part, nn.BatchNorm1d) and part.running_mean is not None and part.running_var is not None:
            scale = torch.rsqrt(part.running_var + part.eps)
            scale = scale if part.weight is None else scale * part.weight
            shift = -part.running_mean * scale
            step = AffineMap(torch.diag(scale), shift if part.bias is None else shift + part.bias)
        else:
            raise EvidenceError(
                "evidence",
                "a tail of Linear, BatchNorm1d with running statistics, Dropout, Flatten and Identity",
                f"{type(part).__name__} in {type(tail).__name__}",
                "Through other modules the logit is not a sum over positions.",
            )
        composed = step if composed is None else _after(step, composed)
    if composed is None:
        raise EvidenceError("evidence", "a tail with at least one Linear layer", type(tail).__name__)
    return composed


def _after(second: AffineMap, first: AffineMap) -> AffineMap:
    bias = second(first.offset().unsqueeze(0))[0]
    return AffineMap(second.weight @ first.weight, bias)


def _flat(tail: nn.Module) -> list[nn.Module]:
    return [leaf for part in tail for leaf in _flat(part)] if isinstance(tail, nn.Sequential) else [tail]
