"""Layers over samples of several lengths in one tensor: each comes out as it would alone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from globalpool.errors import LayoutError
from globalpool.layout import Features, Padded, inside

WINDOWS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
)
#: Layers that treat every position by itself.
POINTWISE = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Tanh, nn.Sigmoid, nn.Identity)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class PaddedSequential(nn.Sequential):
    """``nn.Sequential`` that also takes ``Padded`` samples, and then gives ``Features`` with a mask.

    Of a tensor ``(N, C, *S)`` it gives the last layer's output, as ``nn.Sequential`` does. Of ``Padded`` samples every
    layer sees zeros beyond each sample's own extent, as at the border of a sample that is alone (zero padding of
    convolutions), and BatchNorm counts real positions only; so each sample's features are those of the sample alone,
    to rounding. The mask ``(N, *S)`` is bool, or, where the input has a measure, that of each position's share of the
    input.

    Layers: convolutions and pooling windows with zero padding, BatchNorm, pointwise activations, dropout, nested
    ``PaddedSequential``, and modules with a method ``padded(values, sizes) -> (values, sizes)``. LayoutError for
    others.
    """

    def forward(self, x: Any) -> Any:
        if not isinstance(x, Padded):
            return super().forward(x)  # type: ignore[no-untyped-call]
        values, sizes = self.padded(x.values, x.sizes)
        mask: Tensor = inside(sizes, tuple(values.shape[2:]))
        if x.measure is not None:
            mask = coarse_measure(x.measure, x.sizes, sizes, tuple(values.shape[2:]))
        return Features(values, {"mask": mask})

    def padded(self, values: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Values and extents after all layers."""
        for layer in self:
            values, sizes = through(layer, values, sizes)
        return values, sizes


def through(layer: nn.Module, values: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """One layer: values, zero beyond each sample, and the samples' extents ``(N, D)``."""
    own: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = getattr(layer, "padded", None)
    if own is not None:
        return own(values, sizes)
    if isinstance(layer, _BatchNorm):
        return _normalised(layer, values, sizes), sizes
    if isinstance(layer, WINDOWS):
        _check_window(layer)
        sizes = torch.stack([_after(layer, sizes[:, axis], axis) for axis in range(sizes.shape[1])], 1)
    elif not isinstance(layer, (*POINTWISE, *DROPOUTS)):
        expected = "layers that keep positions apart or read a window of them"
        raise LayoutError("PaddedSequential", expected, type(layer).__name__, "Give it a method padded().")
    values = layer(values)
    return values * inside(sizes, tuple(values.shape[2:])).unsqueeze(1), sizes


def coarse_measure(measure: Tensor, before: Tensor, after: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The measure in each output position's share of its sample's input, ``(N, *shape)``: sums are kept.

    Along each axis the sample's input is cut into as many equal pieces as there are output positions.
    """
    found = measure.new_zeros(len(measure), *shape)
    for number, (own, out) in enumerate(zip(before.tolist(), after.tolist(), strict=True)):
        piece = measure[number][tuple(slice(length) for length in own)]
        for axis, (long, short) in enumerate(zip(own, out, strict=True)):
            piece = torch.tensordot(_shares(long, short).to(piece), piece.movedim(axis, 0), 1).movedim(0, axis)
        found[number][tuple(slice(length) for length in out)] = piece
    return found


def _shares(long: int, short: int) -> Tensor:
    """``(short, long)`` float64: how much of each cell of a line lies in each of ``short`` equal pieces of it."""
    edges = torch.arange(short + 1, dtype=torch.float64) * (long / short)
    cells = torch.arange(long, dtype=torch.float64)
    low = torch.maximum(edges[:-1, None], cells)
    return (torch.minimum(edges[1:, None], cells + 1) - low).clamp(min=0)


def _normalised(layer: _BatchNorm, values: Tensor, sizes: Tensor) -> Tensor:
    """Statistics and result over the rows of real positions."""
    real = inside(sizes, tuple(values.shape[2:]))
    rows = values.movedim(1, -1)[real]
    result = values.new_zeros(values.movedim(1, -1).shape)
    # The layer's own rules for momentum and running statistics, on rows (T, C): BatchNorm1d takes those.
    result[real] = nn.BatchNorm1d.forward(_as_rows(layer), rows)
    return result.movedim(-1, 1)


def _as_rows(layer: _BatchNorm) -> nn.BatchNorm1d:
    """The same layer, sharing every tensor and buffer, with the check of a one-dimensional one."""
    twin = nn.BatchNorm1d.__new__(nn.BatchNorm1d)
    twin.__dict__ = layer.__dict__
    return twin


def _per_axis(value: Any, axis: int) -> int:
    return int(value[axis] if isinstance(value, tuple | list) else value)


def _after(layer: Any, lengths: Tensor, axis: int) -> Tensor:
    kernel, stride, padding = (_per_axis(getattr(layer, n), axis) for n in ("kernel_size", "stride", "padding"))
    dilation = _per_axis(getattr(layer, "dilation", 1), axis)
    after = (lengths + 2 * padding - dilation * (kernel - 1) - 1).div(stride, rounding_mode="floor") + 1
    if bool((after < 1).any()):
        got = f"a sample of length {int(lengths.min())} before {layer}"
        raise LayoutError("PaddedSequential", "samples no shorter than the windows", got, "Give longer samples.")
    return after


def _check_window(layer: Any) -> None:
    odd = isinstance(layer.padding, str) or getattr(layer, "padding_mode", "zeros") != "zeros"
    maximum = isinstance(layer, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d)
    if odd or getattr(layer, "ceil_mode", False) or (maximum and _some(layer.padding)):
        expected = "windows with zero padding given in numbers, and maxima without padding"
        raise LayoutError("PaddedSequential", expected, str(layer))


def _some(padding: Any) -> bool:
    return any(padding) if isinstance(padding, tuple | list) else bool(padding)
