"""The tail of a network, pooled vector to logits, as the affine map it is in eval mode.

Tails that are affine only for one sample (norms, activations) will join here as their held linear map; until then
they are refused by name.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from globalpool.errors import EvidenceError

DROPOUTS = (nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout)
IDENTITIES = (nn.Identity, nn.Flatten, *DROPOUTS)


@dataclass(frozen=True, eq=False)
class AffineMap:
    """``logits = weight @ vector + bias``: ``weight (K, F)``, ``bias (K,)``."""

    weight: Tensor
    bias: Tensor


def is_affine(tail: nn.Module) -> bool:
    """Whether the tail, in its present mode, is an affine map that ``affine_map`` can write down."""
    if _runs_as(tail, nn.Sequential):
        return all(is_affine(part) for part in tail.children())
    if isinstance(tail, nn.BatchNorm1d) and _runs_as(tail, nn.BatchNorm1d):
        return tail.running_mean is not None and not tail.training
    if any(_runs_as(tail, kind) for kind in IDENTITIES):
        return not (tail.training and isinstance(tail, DROPOUTS))
    return _runs_as(tail, nn.Linear)


def affine_map(tail: nn.Module) -> AffineMap:
    """The affine map of ``tail`` in eval mode, composed from its parts; raises EvidenceError for other modules."""
    parts = [part for part in _flat(tail) if not any(_runs_as(part, kind) for kind in IDENTITIES)]
    if len(parts) == 1 and isinstance(parts[0], nn.Linear) and _runs_as(parts[0], nn.Linear):
        bias = parts[0].bias
        return AffineMap(parts[0].weight, parts[0].weight.new_zeros(parts[0].out_features) if bias is None else bias)
    # In float64: composing means subtracting large constants from each other.
    scale, shift = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    weight: Tensor | None = None
    dtype = torch.float32
    for part in parts:
        if isinstance(part, nn.Linear) and _runs_as(part, nn.Linear):
            own, dtype = part.weight.double(), part.weight.dtype
            if weight is None:
                weight, shift = own * scale, own @ shift.expand(part.in_features).to(own)
            else:
                weight, shift = own @ weight, own @ shift
            shift = shift if part.bias is None else shift + part.bias.double()
        elif isinstance(part, nn.BatchNorm1d) and _runs_as(part, nn.BatchNorm1d) and part.running_mean is not None:
            assert part.running_var is not None
            factor = torch.rsqrt(part.running_var.double() + part.eps)
            factor = factor if part.weight is None else factor * part.weight.double()
            shift = (shift.to(factor) - part.running_mean.double()) * factor
            shift = shift if part.bias is None else shift + part.bias.double()
            scale, weight = (scale.to(factor) * factor, None) if weight is None else (scale, weight * factor[:, None])
        else:
            raise EvidenceError(
                "evidence",
                "a tail of Linear, BatchNorm1d with running statistics, Dropout, Flatten and Identity",
                f"{type(part).__name__} in {type(tail).__name__}",
                "Through other modules, or a forward of its own, the logit is not a sum over positions.",
            )
    if weight is None:
        raise EvidenceError("evidence", "a tail with at least one Linear layer", type(tail).__name__)
    return AffineMap(weight.to(dtype), shift.to(dtype))


def _runs_as(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether the module computes what ``kind`` computes: a subclass with a forward of its own does not."""
    return isinstance(module, kind) and type(module).forward is kind.forward


def _flat(tail: nn.Module) -> list[nn.Module]:
    return [leaf for part in tail.children() for leaf in _flat(part)] if _runs_as(tail, nn.Sequential) else [tail]
