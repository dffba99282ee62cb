"""From the modules of a tail to its held steps."""

from typing import Any

import torch
from torch import Tensor, nn

from globalpool import kernels
from globalpool.errors import EvidenceError
from globalpool.evidence import norms
from globalpool.evidence.gates import activation_of, gate
from globalpool.evidence.held import Held, Step
from globalpool.evidence.pieces import Chain, Identity, Matrix, Piece, Reshape, Scale
from globalpool.evidence.tails import IDENTITIES, AverageOf, SelfDescribed, UnitLength, is_affine, runs_as

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def hold(tail: nn.Module, vectors: Tensor) -> Held:
    """The tail, in eval mode, held at pooled vectors ``(N, F)``: every nonlinear piece is the linear map it applied.

    Raises EvidenceError for modules it does not know and for forwards of their own.
    """
    if isinstance(tail, SelfDescribed):
        return tail.hold(vectors)
    steps: list[Step] = []
    dtype = kernels.accumulation_dtype(vectors.dtype)
    with kernels.full_precision(vectors.device):
        last, _ = _walk(tail, tail, 0, vectors.to(dtype), steps)
    if last != len(steps):
        raise AssertionError("the last step gives the logits")
    logits: Tensor = tail(vectors)
    return Held(tuple(vectors.shape[1:]), tuple(steps), logits, is_affine(tail))


def _walk(tail: nn.Module, part: nn.Module, source: int, z: Tensor, steps: list[Step]) -> tuple[int, Tensor]:
    """Append the steps of ``part`` applied to value ``source``, which is ``z``; the number and value of the result."""
    if runs_as(part, nn.Sequential):
        for child in part.children():
            source, z = _walk(tail, child, source, z, steps)
        return source, z
    if isinstance(part, AverageOf) and runs_as(part, AverageOf):
        ends = [_walk(tail, head, source, z, steps) for head in part]
        share = torch.full((), 1 / len(ends), dtype=z.dtype, device=z.device)
        shape = tuple(ends[0][1].shape[1:])
        steps.append(Step(tuple((end, Scale(share, shape, shape)) for end, _ in ends)))
        return len(steps), sum(value for _, value in ends) * share
    piece, constant, value = _piece(tail, part, z)
    steps.append(Step(((source, piece),), constant))
    return len(steps), value


def _piece(tail: nn.Module, part: nn.Module, z: Tensor) -> tuple[Piece, Tensor | None, Tensor]:
    """The linear piece of one module at ``z (N, *shape)``, its constant, and its value in the dtype of ``z``."""
    shape = tuple(z.shape[1:])
    module: Any = part
    if isinstance(part, nn.Flatten | nn.Unflatten) and (runs_as(part, nn.Flatten) or runs_as(part, nn.Unflatten)):
        value: Tensor = part(z)
        return Reshape(shape, tuple(value.shape[1:])), None, value
    if any(runs_as(part, kind) for kind in IDENTITIES):
        return Identity(shape, shape), None, z
    if runs_as(part, nn.Linear):
        after = (*shape[:-1], module.weight.shape[0])
        return _with_value(Matrix(module.weight, shape, after), module.bias, z)
    if any(runs_as(part, kind) for kind in CONVOLUTIONS) and _is_pointwise(module, shape):
        return _with_value(*_pointwise(module, shape), z)
    if any(runs_as(part, kind) for kind in NORMS) and module.running_mean is not None:
        piece, constant = norms.batch_norm(
            shape, module.running_mean, module.running_var, module.weight, module.bias, module.eps
        )
        return _with_value(piece, constant, z)
    if runs_as(part, nn.LayerNorm):
        return _with_value(
            *norms.layer_norm(z, len(module.normalized_shape), module.weight, module.bias, module.eps), z
        )
    if runs_as(part, nn.RMSNorm):
        return _with_value(*norms.rms_norm(z, len(module.normalized_shape), module.weight, module.eps), z)
    if runs_as(part, nn.GroupNorm):
        return _with_value(*norms.group_norm(z, module.num_groups, module.weight, module.bias, module.eps), z)
    if isinstance(part, UnitLength) and runs_as(part, UnitLength):
        return _with_value(Scale(part.factor(z), shape, shape), None, z)
    if runs_as(part, nn.PReLU):
        slopes = module.weight.to(z.dtype).reshape(1, -1, *(1,) * (len(shape) - 1))
        return _with_value(Scale(torch.where(z > 0, 1, slopes), shape, shape), None, z)
    activation = activation_of(part)
    if activation is None:
        raise EvidenceError(
            "evidence",
            "a tail of linear layers, 1x1 convolutions, norms, activations, dropout and reshaping",
            f"{type(part).__name__} in {type(tail).__name__}",
            "Through other modules, or a forward of its own, the logit is not a sum over positions.",
        )
    value = part(z)
    start = None if activation.start == 0 else z.new_full((), activation.start)
    return Scale(gate(activation, z, value), shape, shape), start, value


def _with_value(piece: Piece, constant: Tensor | None, z: Tensor) -> tuple[Piece, Tensor | None, Tensor]:
    value = piece.push(z.unsqueeze(1))[:, 0]
    return piece, constant, value if constant is None else value + constant.to(value.dtype)


def _is_pointwise(module: Any, shape: tuple[int, ...]) -> bool:
    sides = [*module.kernel_size, *module.stride, module.groups]
    return set(sides) == {1} and set(module.padding) == {0} and all(side == 1 for side in shape[1:])


def _pointwise(module: Any, shape: tuple[int, ...]) -> tuple[Piece, Tensor | None]:
    """A 1x1 convolution of a vector ``(C, 1, ...)`` as the matrix it is."""
    weight, flat, ones = module.weight.flatten(1), (shape[0],), (1,) * (len(shape) - 1)
    out = (weight.shape[0],)
    chain = Chain([Reshape(shape, flat), Matrix(weight, flat, out), Reshape(out, (*out, *ones))])
    return chain, None if module.bias is None else module.bias.reshape(1, -1, *ones)
