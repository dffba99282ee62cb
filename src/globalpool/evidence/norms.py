"""Normalisations as what they did to one batch: centring is linear and stays, the deviation is held."""

import torch
from torch import Tensor

from globalpool.evidence.pieces import Centre, Chain, Piece, Reshape, Scale, Shape

Norm = tuple[Piece, Tensor | None]


def layer_norm(z: Tensor, axes: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Norm:
    """LayerNorm over the last ``axes`` axes of ``z (N, *shape)``."""
    dims, shape = tuple(range(-axes, 0)), tuple(z.shape[1:])
    deviation = torch.rsqrt(z.var(dims, correction=0, keepdim=True) + eps)
    gate = deviation if weight is None else deviation * weight.to(z.dtype)
    return Chain([Centre(dims, shape, shape), Scale(gate, shape, shape)]), bias


def group_norm(z: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Norm:
    """GroupNorm of vectors ``z (N, C)`` or ``(N, C, 1, ...)``: each group of channels by itself."""
    shape = tuple(z.shape[1:])
    apart = (groups, *z.reshape(z.shape[0], groups, -1).shape[2:])
    grouped = z.reshape(z.shape[0], *apart)
    deviation = torch.rsqrt(grouped.var(2, correction=0, keepdim=True) + eps)
    pieces: list[Piece] = [
        Reshape(shape, apart),
        Centre((-1,), apart, apart),
        Scale(deviation, apart, apart),
        Reshape(apart, shape),
    ]
    if weight is not None:
        pieces.append(Scale(_along_channels(weight, shape), shape, shape))
    return Chain(pieces), None if bias is None else _along_channels(bias, shape)


def rms_norm(z: Tensor, axes: int, weight: Tensor | None, eps: float | None) -> Norm:
    """RMSNorm over the last ``axes`` axes; ``eps`` None is the dtype's epsilon, as in torch."""
    dims, shape = tuple(range(-axes, 0)), tuple(z.shape[1:])
    eps = torch.finfo(z.dtype).eps if eps is None else eps
    size = torch.rsqrt(z.square().mean(dims, keepdim=True) + eps)
    return Scale(size if weight is None else size * weight.to(z.dtype), shape, shape), None


def batch_norm(
    shape: Shape, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Norm:
    """BatchNorm with running statistics, as in eval mode: affine, composed in float64."""
    factor = torch.rsqrt(variance.double() + eps)
    factor = factor if weight is None else factor * weight.double()
    shift = -mean.double() * factor
    shift = shift if bias is None else shift + bias.double()
    return Scale(_along_channels(factor, shape), shape, shape), _along_channels(shift, shape)


def _along_channels(values: Tensor, shape: Shape) -> Tensor:
    """One number a channel, ``(C,)``, where channels are the first axis of ``shape``."""
    return values.reshape(1, -1, *(1,) * (len(shape) - 1))
