"""The tail of a network, pooled vector to logits, as the affine map it is in eval mode; and two tail modules.

Tails that are affine only for one sample (norms, activations) are held instead, in ``hold``.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from globalpool.errors import EvidenceError
from globalpool.evidence.held import Held

DROPOUTS = (nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout)
IDENTITIES = (nn.Identity, nn.Flatten, *DROPOUTS)


@dataclass(frozen=True, eq=False)
class AffineMap:
    """``logits = weight @ vector + bias``: ``weight (K, F)``, ``bias (K,)``."""

    weight: Tensor
    bias: Tensor


@runtime_checkable
class SelfDescribed(Protocol):
    """A tail that knows its own held steps, as those that ``adopt`` traces do."""

    @property
    def affine(self) -> bool:
        """Whether no step holds anything of the sample."""

    def hold(self, vectors: Tensor) -> Held:
        """The tail held at pooled vectors ``(N, F)``, with its logits for them."""


class AverageOf(nn.ModuleList):
    """Several heads on the same vector ``(N, F)``, their logits averaged; distilled transformers end so."""

    def forward(self, vectors: Tensor) -> Tensor:
        logits: Tensor = sum(head(vectors) for head in self) / len(self)
        return logits


class UnitLength(nn.Module):
    """Each vector ``(N, F)`` over its Euclidean length, at least ``eps``, as ``torch.nn.functional.normalize``."""

    def __init__(self, eps: float = 1e-12) -> None:
        super().__init__()
        self.eps = eps

    def factor(self, vectors: Tensor) -> Tensor:
        """One over each length, ``(N, 1)``."""
        length: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        return length.clamp(min=self.eps).reciprocal()

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors * self.factor(vectors)


def is_affine(tail: nn.Module) -> bool:
    """Whether the tail, in its present mode, is an affine map of the pooled vector, the same for every sample."""
    if runs_as(tail, nn.Sequential) or runs_as(tail, AverageOf):
        return all(is_affine(part) for part in tail.children())
    if any(runs_as(tail, kind) for kind in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        return tail.running_mean is not None and not tail.training
    if any(runs_as(tail, kind) for kind in IDENTITIES):
        return not (tail.training and isinstance(tail, DROPOUTS))
    if isinstance(tail, SelfDescribed):
        return tail.affine
    return any(runs_as(tail, kind) for kind in (nn.Linear, nn.Unflatten, nn.Conv1d, nn.Conv2d, nn.Conv3d))


def is_chain(tail: nn.Module) -> bool:
    """Whether ``affine_map`` can write the tail down: linear layers and BatchNorm1d one after the other."""
    parts = [part for part in _flat(tail) if not any(runs_as(part, kind) for kind in IDENTITIES)]
    kinds = (nn.Linear, nn.BatchNorm1d)
    return any(runs_as(part, nn.Linear) for part in parts) and all(
        runs_as(part, kinds[0]) or (runs_as(part, kinds[1]) and part.running_mean is not None) for part in parts
    )


def affine_map(tail: nn.Module) -> AffineMap:
    """The affine map of ``tail`` in eval mode, composed from its parts; raises EvidenceError for other modules."""
    parts = [part for part in _flat(tail) if not any(runs_as(part, kind) for kind in IDENTITIES)]
    if len(parts) == 1 and isinstance(parts[0], nn.Linear) and runs_as(parts[0], nn.Linear):
        bias = parts[0].bias
        return AffineMap(parts[0].weight, parts[0].weight.new_zeros(parts[0].out_features) if bias is None else bias)
    # In float64: composing means subtracting large constants from each other.
    scale, shift = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    weight: Tensor | None = None
    dtype = torch.float32
    for part in parts:
        if isinstance(part, nn.Linear) and runs_as(part, nn.Linear):
            own, dtype = part.weight.double(), part.weight.dtype
            if weight is None:
                weight, shift = own * scale, own @ shift.expand(part.in_features).to(own)
            else:
                weight, shift = own @ weight, own @ shift
            shift = shift if part.bias is None else shift + part.bias.double()
        elif isinstance(part, nn.BatchNorm1d) and runs_as(part, nn.BatchNorm1d) and part.running_mean is not None:
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


def runs_as(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether the module computes what ``kind`` computes: a subclass with a forward of its own does not."""
    return isinstance(module, kind) and type(module).forward is kind.forward


def _flat(tail: nn.Module) -> list[nn.Module]:
    return [leaf for part in tail.children() for leaf in _flat(part)] if runs_as(tail, nn.Sequential) else [tail]
