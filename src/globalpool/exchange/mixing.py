"""A tail that reads combinations of a new pool's regions where it read the old pool's."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.evidence.held import Held, Step
from globalpool.evidence.hold import hold
from globalpool.evidence.pieces import Chain, Matrix, Permute, Reshape
from globalpool.evidence.tails import IDENTITIES, is_affine, runs_as

Rows = tuple[tuple[float, ...], ...]


class MixedRegions(nn.Module):
    """``tail(old)`` with ``old[r] = sum_s mix[r, s] new[s]``: vectors ``(N, S * C)`` to logits.

    For tails that do not begin with a linear layer to put the combination into. ``mix (R, S)`` is a parameter.
    """

    def __init__(self, mix: Tensor, tail: nn.Module) -> None:
        super().__init__()
        self.mix, self.tail = nn.Parameter(mix), tail

    @property
    def affine(self) -> bool:
        """Whether the tail is one affine map for every sample."""
        return is_affine(self.tail)

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits ``(N, K)``."""
        logits: Tensor = self.tail(self._mixed(vectors))
        return logits

    def _mixed(self, vectors: Tensor) -> Tensor:
        regions = self.mix.shape[1]
        if vectors.shape[1] % regions:
            raise PoolError(type(self).__name__, f"vectors of {regions} regions", f"width {vectors.shape[1]}")
        mixed: Tensor = self.mix.to(vectors.dtype) @ vectors.unflatten(1, (regions, -1))
        return mixed.flatten(1)

    def hold(self, vectors: Tensor) -> Held:
        """The tail held at these vectors, one step further back."""
        inner = hold(self.tail, self._mixed(vectors))
        (old, new), wide = self.mix.shape, vectors.shape[1]
        channels = wide // new
        piece = Chain(
            [
                Reshape((wide,), (new, channels)),
                Permute((1, 0), (new, channels), (channels, new)),
                Matrix(self.mix, (channels, new), (channels, old)),
                Permute((1, 0), (channels, old), (old, channels)),
                Reshape((old, channels), (old * channels,)),
            ]
        )
        later = (replace(s, parts=tuple((source + 1, own) for source, own in s.parts)) for s in inner.steps)
        return Held((wide,), (Step(((0, piece),)), *later), inner.logits, inner.affine)


def mixed(where: str, tail: nn.Module, rows: Rows) -> nn.Module:
    """``tail`` for vectors of ``len(rows[0])`` regions, reading ``len(rows)`` combinations of them.

    ``tail`` itself where each combination is the region of the same number. A linear layer at its beginning takes the
    combination into a copy of its weight; biases and all later layers are shared.
    """
    if all(value == float(r == s) for r, row in enumerate(rows) for s, value in enumerate(row)) and _square(rows):
        return tail
    folded = _folded(where, tail, rows)
    if folded is not None:
        return folded
    first = next(tail.parameters(), None)
    like = torch.empty(()) if first is None else first
    mix = torch.tensor(rows, dtype=torch.float64).to(like.dtype).to(like.device)
    outer = MixedRegions(mix, tail)
    outer.training = tail.training
    return outer.requires_grad_(True) if first is None else _following(outer, tail)


def _following(outer: MixedRegions, tail: nn.Module) -> MixedRegions:
    outer.mix.requires_grad_(any(parameter.requires_grad for parameter in tail.parameters()))
    return outer


def _folded(where: str, part: nn.Module, rows: Rows) -> nn.Module | None:
    if isinstance(part, nn.Linear) and runs_as(part, nn.Linear) and "weight" in part._parameters:
        return _layer(where, part, rows)
    if not (isinstance(part, nn.Sequential) and runs_as(part, nn.Sequential)):
        return None
    children = dict(part.named_children())
    for name, child in children.items():
        if any(runs_as(child, kind) for kind in IDENTITIES):
            continue
        new = _folded(where, child, rows)
        if new is None:
            return None
        copy = nn.Sequential()
        for key, own in children.items():
            copy.add_module(key, new if key == name else own)
        copy.training = part.training
        return copy
    return None


def _layer(where: str, layer: nn.Linear, rows: Rows) -> nn.Linear:
    old, new = len(rows), len(rows[0])
    if layer.in_features % old:
        raise PoolError(where, f"a tail that reads {old} regions", f"{layer.in_features} features")
    mix = torch.tensor(rows, dtype=torch.float64, device=layer.weight.device)
    weight = layer.weight.detach().double().unflatten(1, (old, -1))  # (K, R, C)
    weight = torch.einsum("krc,rs->ksc", weight, mix).flatten(1)
    copy = nn.Linear(weight.shape[1], layer.out_features, bias=layer.bias is not None, device="meta")
    copy.weight = nn.Parameter(weight.to(layer.weight.dtype), requires_grad=layer.weight.requires_grad)
    copy.bias = layer.bias
    copy.training = layer.training
    assert copy.in_features == layer.in_features // old * new
    return copy


def _square(rows: Rows) -> bool:
    return len(rows) == len(rows[0])
