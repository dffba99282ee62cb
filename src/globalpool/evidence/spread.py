"""Evidence at another resolution: sum-preserving, or interpolated for display."""

from collections.abc import Sequence
from operator import index

import torch
from torch import Tensor

from globalpool.errors import EvidenceError
from globalpool.layout import Dense, Layout, Ragged
from globalpool.layout.check import check_integers

Size = int | Sequence[int] | Tensor


def spread(maps: Tensor, layout: Layout, size: Size, sizes: Tensor | None, conserve: bool) -> Tensor | list[Tensor]:
    """See ``Evidence.upsample`` (``conserve``) and ``Evidence.interpolate``."""
    if isinstance(layout, Dense):
        return _dense(maps, layout, _shape(size, len(layout.spatial)), sizes, conserve)
    assert isinstance(layout, Ragged)
    return _ragged(maps, layout, size, sizes, conserve)


def _shape(size: Size, axes: int) -> tuple[int, ...]:
    try:
        shape = tuple(index(side) for side in size) if isinstance(size, Sequence | Tensor) else (index(size),) * axes
    except TypeError:
        shape = ()
    if len(shape) != axes or isinstance(size, str | bool) or not all(side > 0 for side in shape):
        raise EvidenceError("Evidence.upsample", f"a positive whole size for each of {axes} axes", str(size))
    return shape


def _ragged(maps: Tensor, layout: Ragged, size: Size, sizes: Tensor | None, conserve: bool) -> list[Tensor]:
    layout.cells("Evidence.upsample")
    assert layout.shapes is not None
    axes = layout.shapes.shape[1]
    if sizes is not None:
        sizes = check_integers("Evidence.upsample", "sizes", sizes, (layout.samples, axes), "pixels of each sample")
    pictures = []
    for sample, shape in enumerate(layout.shapes.tolist()):
        rows = slice(int(layout.ptr[sample]), int(layout.ptr[sample + 1]))
        own = maps[rows].T.reshape(1, maps.shape[1], *shape)
        measure = None if layout.measure is None else layout.measure[rows].reshape(1, *shape)
        grid = Dense(
            1, tuple(shape), tuple(range(axes)), layout.dtype, layout.device, measure, layout.shapes[sample, None]
        )
        target = _shape(size if sizes is None else sizes[sample].tolist(), axes)
        pictures.append(_dense(own, grid, target, None, conserve)[0])
    return pictures


def _dense(maps: Tensor, layout: Dense, shape: tuple[int, ...], sizes: Tensor | None, conserve: bool) -> Tensor:
    if 0 in layout.spatial or layout.samples == 0:
        return maps.new_zeros((*maps.shape[:2], *shape))
    starts, lengths = layout.extent()
    canvas = torch.tensor(layout.spatial, device=maps.device)
    target = torch.tensor(shape, device=maps.device)
    if sizes is None:
        first = (starts * target + canvas // 2) // canvas
        last = ((starts + lengths) * target + canvas // 2) // canvas
        last = torch.where(lengths > 0, torch.maximum(last, first + 1), first).minimum(target)
        first = torch.minimum(first, (last - 1).clamp(min=0))
    else:
        last = check_integers(
            "Evidence.upsample", "sizes", sizes, (layout.samples, len(shape)), "pixels of each sample"
        )
        last = last.to(maps.device)
        first = torch.zeros_like(last)
        if bool((last > target).any()) or bool(((last < 1) & (lengths > 0)).any()):
            raise EvidenceError("Evidence.upsample", f"`sizes` from 1 to the canvas {shape}", str(last.tolist()[:8]))
        starts, lengths, first, last = torch.broadcast_tensors(starts, lengths, first, last)
    matrices = [
        _axis(starts[:, d], lengths[:, d], first[:, d], last[:, d], layout.spatial[d], shape[d], maps.dtype)
        for d in range(len(shape))
    ]
    real = torch.ones((1, 1, *layout.spatial), dtype=maps.dtype, device=maps.device)
    if layout.measure is not None:
        real = (layout.measure > 0).to(maps.dtype).unsqueeze(1)
    # A pixel is real if a present cell covers part of it (its centre, on an axis that grows).
    real = (_apply(real, [cover for _, cover in matrices]) > 0).to(maps.dtype)
    kernels = [kernel for kernel, _ in matrices]
    if not conserve:
        return _apply(maps, [_rows_to_one(kernel) for kernel in kernels]) * real
    handed_out = _apply(real, [kernel.transpose(1, 2) for kernel in kernels])
    share = torch.where(handed_out > 0, handed_out, 1)
    return _apply(maps / share, kernels) * real


def _apply(values: Tensor, matrices: list[Tensor]) -> Tensor:
    """``(N, K, *S)`` with the matrix ``(N or 1, out, in)`` of each axis applied along it."""
    for axis, matrix in enumerate(matrices):
        moved = values.movedim(2 + axis, -1)
        shape = moved.shape
        values = (moved.flatten(1, -2) @ matrix.transpose(1, 2)).reshape(-1, *shape[1:-1], matrix.shape[1])
        values = values.movedim(-1, 2 + axis)
    return values


def _rows_to_one(kernel: Tensor) -> Tensor:
    total = kernel.sum(2, keepdim=True)
    return kernel / torch.where(total > 0, total, 1)


def _axis(
    start: Tensor, length: Tensor, first: Tensor, last: Tensor, cells: int, pixels: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Kernel and cover ``(N, pixels, cells)`` of an axis: cells ``[start, +length)`` over pixels ``[first, last)``.

    Where the sample grows, the kernel is linear interpolation between cell centres (half-pixel, constant beyond the
    outermost) and a cell covers the pixels whose centre it holds; where it shrinks, both are the overlap of cell and
    pixel.
    """
    start, length, first, last = (value.reshape(-1, 1, 1).to(dtype) for value in (start, length, first, last))
    cell = torch.arange(cells, device=start.device, dtype=dtype).reshape(1, 1, -1)
    pixel = torch.arange(pixels, device=start.device, dtype=dtype).reshape(1, -1, 1)
    scale = length / (last - first).clamp(min=1)  # cells a pixel
    inside = (pixel >= first) & (pixel < last) & (cell >= start) & (cell < start + length)
    centre = (pixel - first + 0.5) * scale
    place = (centre - 0.5).clamp(min=0).minimum((length - 1).clamp(min=0))
    linear = (1 - (place - (cell - start)).abs()).clamp(min=0)
    holds = (centre.floor() == cell - start).to(dtype)
    low, high = (pixel - first) * scale, (pixel - first + 1) * scale
    overlap = (torch.minimum(high, cell - start + 1) - torch.maximum(low, cell - start)).clamp(min=0)
    overlap = torch.where(overlap > 1e-6, overlap, 0)  # a touch made by rounding is no overlap
    grows = scale <= 1
    zero = torch.zeros((), dtype=dtype, device=start.device)
    kernel = torch.where(inside, torch.where(grows, linear, overlap), zero)
    cover = torch.where(inside, torch.where(grows, holds, overlap), zero)
    return kernel, cover
