"""Operations of a tail as the linear pieces they were at one batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from globalpool.evidence import norms
from globalpool.evidence.gates import ACTIVATIONS, Activation, gate
from globalpool.evidence.pieces import Chain, Identity, Matrix, Permute, Piece, Place, Reshape, Scale, Take, Total
from globalpool.surgery.nodes import argument, axes_of
from globalpool.surgery.program import Operation, Ref
from globalpool.surgery.tail_inputs import (
    CLAMPS,
    CONVOLUTIONS,
    IDENTITIES,
    JOINS,
    NORMS,
    PERMUTES,
    POOLS,
    RESHAPES,
    SHIFTS,
    SUMS,
    TAKES,
)

Shape = tuple[int, ...]
Parts = list[tuple[Ref, Piece]]


@dataclass(frozen=True, eq=False)
class Call:
    """One operation at one batch: the line, what every argument was, and its result."""

    line: Operation
    get: Callable[[Any], Any]
    value: Tensor

    @property
    def live(self) -> tuple[Ref, ...]:
        """The inputs it is linear in."""
        return self.line.live

    def arg(self, place: int, name: str, default: Any = None) -> Any:
        """An argument's value at this batch."""
        return self.get(argument(self.line, place, name, default))

    def before(self, source: Ref) -> Shape:
        """Shape of an input, without the samples."""
        return tuple(self.get(source).shape[1:])

    @property
    def after(self) -> Shape:
        """Shape of the result, without the samples."""
        return tuple(self.value.shape[1:])


def step(call: Call) -> tuple[Parts, Tensor | None]:
    """The pieces of one operation at one batch, by input, and its constant."""
    name = call.line.word
    if name in SUMS:
        return _sum(call, name)
    if name in JOINS:
        return _join(call, name)
    source = call.live[0]
    before, after = call.before(source), call.after
    z: Tensor = call.get(source)
    piece, constant = _single(call, name, z, before, after)
    return [(source, piece)], constant


def _single(call: Call, name: str, z: Tensor, before: Shape, after: Shape) -> tuple[Piece, Tensor | None]:
    if name in IDENTITIES:
        return Identity(before, after), None
    if name in RESHAPES | POOLS:
        if z.numel() != call.value.numel():
            raise NotImplementedError("a pool of a part of the positions")
        return Reshape(before, after), None
    if name in PERMUTES:
        return Permute(_order(call, name, z.ndim), before, after), None
    if name in TAKES:
        return _take(call, name, z, before, after), None
    if name in ("linear", "addmm", "mm", "matmul"):
        return _matrix(call, name, before, after)
    if name in CONVOLUTIONS:
        return _convolution(call, z, before, after)
    if name == "mul":
        first, second = call.line.args[:2]
        factor = call.get(second if call.live[0] == first else first)
        return Scale(torch.as_tensor(factor, dtype=z.dtype, device=z.device), before, after), None
    if name == "div":
        divisor = torch.as_tensor(call.arg(1, "other"), dtype=z.dtype, device=z.device)
        return Scale(divisor.reciprocal(), before, after), None
    if name == "expand":
        return Scale(z.new_ones(()), before, after), None
    if name in ("mean", "sum"):
        axes = tuple(axis - 1 for axis in axes_of(call.arg(1, "dim"), z.ndim))
        count = 1
        for axis in axes:
            count *= before[axis]
        return Total(axes, 1 / count if name == "mean" else 1.0, before, after), None
    if name in SHIFTS:
        return _shift(call, z, before)
    if name in NORMS:
        return _norm(call, name, z, before)
    return _activation(call, name, z, before, after)


def _sum(call: Call, name: str) -> tuple[Parts, Tensor | None]:
    parts: Parts = []
    constant: Tensor | None = None
    first, second = (call.line.args[0], call.line.args[1] if len(call.line.args) > 1 else None)
    alpha: Any = call.line.kwargs.get("alpha", 1)
    signs = {"add": (1, alpha), "sub": (1, -alpha), "rsub": (-alpha, 1), "neg": (-1, 0)}[name]
    for entry, sign in zip((first, second), signs, strict=True):
        if entry is None:
            continue
        if entry in call.live:
            before = call.before(entry)
            same = sign == 1 and before == call.after
            factor = call.value.new_full((), sign)
            parts.append((entry, Identity(before, before) if same else Scale(factor, before, call.after)))
            continue
        other = torch.as_tensor(call.get(entry), dtype=call.value.dtype, device=call.value.device) * sign
        constant = other if constant is None else constant + other
    return parts, constant


def _join(call: Call, name: str) -> tuple[Parts, Tensor | None]:
    entries = call.line.args[0]
    rank = call.value.ndim
    axis = argument(call.line, 1, "dim", 0) % rank - 1
    if axis < 0:
        raise NotImplementedError("joined along the samples")
    parts: Parts = []
    constant = torch.zeros_like(call.value)
    start, sided = 0, False
    for entry in entries:
        value: Tensor = call.get(entry)
        length = 1 if name == "stack" else value.shape[axis + 1]
        if entry in call.live:
            parts.append((entry, Place(axis, start, tuple(value.shape[1:]), call.after)))
        else:
            whole = value.unsqueeze(axis + 1) if name == "stack" else value
            pads = [0, 0] * (rank - 2 - axis) + [start, call.after[axis] - start - length]
            constant = constant + torch.nn.functional.pad(whole, pads)
            sided = True
        start += length
    return parts, constant if sided else None


def _order(call: Call, name: str, rank: int) -> tuple[int, ...]:
    order = list(range(rank))
    if name == "permute":
        order = [axis % rank for axis in call.arg(1, "dims")]
    elif name == "movedim":
        source, destination = call.arg(1, "source"), call.arg(2, "destination")
        source, destination = ([x] if isinstance(x, int) else list(x) for x in (source, destination))
        left = [axis for axis in range(rank) if axis not in [s % rank for s in source]]
        for s, d in sorted(zip(source, destination, strict=True), key=lambda pair: pair[1] % rank):
            left.insert(d % rank, s % rank)
        order = left
    else:
        a, b = (0, 1) if name == "t" else (call.arg(1, "dim0") % rank, call.arg(2, "dim1") % rank)
        order[a], order[b] = order[b], order[a]
    if order[0] != 0:
        raise NotImplementedError("the samples moved from the first axis")
    return tuple(axis - 1 for axis in order[1:])


def _take(call: Call, name: str, z: Tensor, before: Shape, after: Shape) -> Piece:
    if name == "getitem":
        parent, place = call.line.parent, call.line.args[1]
        assert parent is not None
        single = parent.word == "unbind"
        dim = argument(parent, 1 if single else 2, "dim", 0) % z.ndim
        start = place if single else sum(part.shape[dim] for part in call.get(call.line.args[0])[:place])
        return _taken(dim, start, 1 if single else call.value.shape[dim], before, after)
    dim = (call.arg(1, "dim", 0) or 0) % z.ndim
    side, first = z.shape[dim], call.arg(2, "index" if name == "select" else "start") or 0
    first = min(first + side if first < 0 else first, side)
    if name == "slice" and call.arg(4, "step", 1) != 1:
        raise NotImplementedError("a slice with a step")
    return _taken(dim, first, 1 if name == "select" else call.value.shape[dim], before, after)


def _taken(dim: int, start: int, length: int, before: Shape, after: Shape) -> Piece:
    if dim == 0:
        return Identity(before, after)
    return Take(dim - 1, start, length, before, after)


def _matrix(call: Call, name: str, before: Shape, after: Shape) -> tuple[Piece, Tensor | None]:
    if name == "linear":
        return Matrix(call.arg(1, "weight"), before, after), call.arg(2, "bias")
    if name == "addmm":
        return Matrix(call.arg(2, "mat2").mT, before, after), call.arg(0, "self")
    return Matrix(call.arg(1, "other").mT, before, after), None


def _convolution(call: Call, z: Tensor, before: Shape, after: Shape) -> tuple[Piece, Tensor | None]:
    """A convolution as large as its map is a matrix on the map laid flat; one that is 1 wide, one on the channels."""
    weight, bias, groups = call.arg(1, "weight"), call.arg(2, "bias"), call.arg(6, "groups", 1)
    padding = call.arg(4, "padding", 0)
    padded = any(padding) if isinstance(padding, list | tuple) else padding not in (0, "valid")
    pointwise = all(side == 1 for side in weight.shape[2:]) and before[1:] == after[1:]
    if padded or not (pointwise or tuple(weight.shape[2:]) == before[1:]):
        raise NotImplementedError("a convolution smaller than its map")
    if groups > 1:
        blocks = torch.block_diag(*weight.flatten(1).chunk(groups))
        weight = blocks.reshape(blocks.shape[0], before[0], *weight.shape[2:]) if pointwise else blocks
    weight = weight.flatten(1)
    shift = None if bias is None else bias.reshape(1, -1, *(1,) * (len(after) - 1))
    if pointwise and len(before) > 1:
        axes = len(before)
        last, back = (*range(1, axes), 0), (axes - 1, *range(axes - 1))
        moved, out = (*before[1:], before[0]), (*after[1:], after[0])
        return Chain([Permute(last, before, moved), Matrix(weight, moved, out), Permute(back, out, after)]), shift
    flat, out = (weight.shape[1],), (weight.shape[0],)
    return Chain([Reshape(before, flat), Matrix(weight, flat, out), Reshape(out, after)]), shift


def _shift(call: Call, z: Tensor, before: Shape) -> tuple[Piece, Tensor | None]:
    """``log_softmax(z) = z - log sum exp z``: the identity, and the normaliser as a constant of each sample."""
    dim = call.arg(1, "dim") % z.ndim
    if dim == 0:
        raise NotImplementedError("log_softmax over the samples")
    return Identity(before, before), -z.logsumexp(dim, keepdim=True)


def _norm(call: Call, name: str, z: Tensor, before: Shape) -> tuple[Piece, Tensor | None]:
    if name == "batch_norm":
        weight, bias, mean, variance = (call.arg(i, n) for i, n in ((1, "weight"), (2, "bias"), (3, "m"), (4, "v")))
        return norms.batch_norm(before, mean, variance, weight, bias, call.arg(7, "eps"))
    if name == "layer_norm":
        axes = len(call.arg(1, "normalized_shape"))
        return norms.layer_norm(z, axes, call.arg(2, "weight"), call.arg(3, "bias"), call.arg(4, "eps", 1e-5))
    if name == "rms_norm":
        return norms.rms_norm(z, len(call.arg(1, "normalized_shape")), call.arg(2, "weight"), call.arg(3, "eps"))
    return norms.group_norm(
        z, call.arg(1, "num_groups"), call.arg(2, "weight"), call.arg(3, "bias"), call.arg(4, "eps", 1e-5)
    )


def _activation(call: Call, name: str, z: Tensor, before: Shape, after: Shape) -> tuple[Piece, Tensor | None]:
    if name == "prelu":
        slopes = call.arg(1, "weight").reshape(1, -1, *(1,) * (z.ndim - 2))
        return Scale(torch.where(z > 0, 1, slopes), before, after), None
    if name in CLAMPS:
        low, high = call.arg(1, "min"), call.arg(2, "max")
        low, high = (-1.0, 1.0) if name == "hardtanh" and low is None else (low, high)
        if isinstance(low, Tensor) or isinstance(high, Tensor):
            raise NotImplementedError("bounds that are tensors")
        start = max(0.0, low) if low is not None else 0.0
        start = min(start, high) if high is not None else start
        known = Activation(0.0, start, None if start == 0 else lambda _: call.value - start)
    elif name in ("leaky_relu", "elu"):
        known = Activation(float(call.arg(1, "", 0.01 if name == "leaky_relu" else 1.0)))
    else:
        if name in ("softplus", "hardshrink", "softshrink", "celu") and len(call.line.args) > 1:
            raise NotImplementedError("settings other than the default ones")
        known = ACTIVATIONS[name]
    constant = None if known.start == 0 else z.new_full((), known.start)
    return Scale(gate(known, z, call.value), before, after), constant
