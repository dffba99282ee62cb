"""Evidence at another resolution: sum-preserving, or interpolated for display."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    axes = [
        _taps(starts[:, d], lengths[:, d], first[:, d], last[:, d], layout.spatial[d], shape[d], maps.dtype)
        for d in range(len(shape))
    ]
    present = torch.ones((1, 1, *layout.spatial), dtype=maps.dtype, device=maps.device)
    if layout.measure is not None:
        present = (layout.measure > 0).to(maps.dtype).unsqueeze(1)
    real = present
    for axis, taps in enumerate(axes):
        real = taps.to_pixels(real, taps.cover, 2 + axis)
    # A pixel is real if a present cell covers part of it (its centre, on an axis that grows).
    real = (real > 0).to(maps.dtype)
    if conserve:
        handed_out = real
        for axis, taps in enumerate(axes):
            handed_out = taps.to_cells(handed_out, taps.kernel, 2 + axis)
        maps = maps / torch.where(handed_out > 0, handed_out, 1)
    for axis, taps in enumerate(axes):
        maps = taps.to_pixels(maps, taps.kernel if conserve else taps.averaging(), 2 + axis)
    return maps * real


@dataclass(frozen=True, eq=False)
class _Taps:
    """Pairs of a cell and a pixel along one axis ``(N or 1, E)``, E growing with cells + pixels, not their product.

    ``kernel``: what the pixel takes of the cell; ``cover``: positive where the cell covers the pixel.
    """

    cell: Tensor
    pixel: Tensor
    kernel: Tensor
    cover: Tensor
    cells: int
    pixels: int

    def to_pixels(self, values: Tensor, weights: Tensor, axis: int) -> Tensor:
        """``(N, K, ...)`` with ``cells`` along ``axis`` -> the same with ``pixels``."""
        return _move(values, self.cell, self.pixel, weights, self.pixels, axis)

    def to_cells(self, values: Tensor, weights: Tensor, axis: int) -> Tensor:
        """The transpose of ``to_pixels``."""
        return _move(values, self.pixel, self.cell, weights, self.cells, axis)

    def averaging(self) -> Tensor:
        """The kernel with weights that sum to one over the cells of each pixel."""
        total = torch.zeros(self.kernel.shape[0], self.pixels, dtype=self.kernel.dtype, device=self.kernel.device)
        total = total.scatter_add(1, self.pixel, self.kernel).gather(1, self.pixel)
        return self.kernel / torch.where(total > 0, total, 1)


def _move(values: Tensor, source: Tensor, target: Tensor, weights: Tensor, length: int, axis: int) -> Tensor:
    values = values.movedim(axis, -1)
    samples = max(values.shape[0], source.shape[0])
    values = values.expand(samples, *values.shape[1:])
    shape = (samples, *(1,) * (values.ndim - 2), source.shape[1])
    source, target, weights = (x.expand(samples, -1).reshape(shape) for x in (source, target, weights))
    taken = values.gather(-1, source.expand(*values.shape[:-1], -1)) * weights
    moved = values.new_zeros((*values.shape[:-1], length))
    return moved.scatter_add(-1, target.expand_as(taken), taken).movedim(-1, axis)


def _taps(
    start: Tensor, length: Tensor, first: Tensor, last: Tensor, cells: int, pixels: int, dtype: torch.dtype
) -> _Taps:
    """An axis on which cells ``[start, +length)`` become pixels ``[first, last)`` of each sample.

    Where the sample grows, a pixel takes from two cells by linear interpolation between their centres (half-pixel,
    constant beyond the outermost) and is covered by the cell that holds its centre. Where it shrinks, a cell gives
    to two pixels by overlap. In float64: a centre rounded across a border could take a cell's only pixel away.
    """
    start, length, first, last = (value.reshape(-1, 1).double() for value in (start, length, first, last))
    scale = length / (last - first).clamp(min=1)  # cells a pixel
    grows = scale <= 1

    pixel = torch.arange(pixels, device=start.device, dtype=torch.float64)
    centre = (pixel - first + 0.5) * scale
    top = (length - 1).clamp(min=0)
    place = (centre - 0.5).clamp(min=0).minimum(top)
    low = place.floor()
    high = (low + 1).minimum(top)
    holder = centre.floor()
    takes = grows & (pixel >= first) & (pixel < last) & (length > 0)
    growing = [
        (start + low, pixel, 1 - (place - low), holder == low, takes),
        (start + high, pixel, place - low, holder == high, takes),
    ]

    cell = torch.arange(cells, device=start.device, dtype=torch.float64)
    left = ((cell - start) / scale.clamp(min=1e-300)).floor()
    share = ((left + 1) * scale - (cell - start)).clamp(0, 1)
    gives = ~grows & (cell >= start) & (cell < start + length)
    shrinking = [
        (cell, first + left, share, share > 0, gives),
        (cell, first + left + 1, 1 - share, share < 1, gives & (first + left + 1 < last)),
    ]

    columns = [torch.broadcast_tensors(*(fact.double() for fact in tap)) for tap in (*growing, *shrinking)]
    cell, pixel, kernel, cover, valid = (torch.cat(parts, 1) for parts in zip(*columns, strict=True))
    return _Taps(
        cell.clamp(0, cells - 1).long(),
        pixel.clamp(0, pixels - 1).long(),
        (kernel * valid).to(dtype),
        (cover * valid).to(dtype),
        cells,
        pixels,
    )
