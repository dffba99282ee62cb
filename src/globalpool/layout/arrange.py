"""From the arguments of a call to features in standard order and their layout, checked once."""

from dataclasses import replace
from typing import Unpack

import torch
from torch import Tensor

from globalpool import kernels
from globalpool.errors import LayoutError
from globalpool.layout.base import Layout, LayoutArguments
from globalpool.layout.check import (
    check_assigned,
    check_assignment,
    check_integers,
    check_mask,
    describe,
    require,
)
from globalpool.layout.dense import Dense
from globalpool.layout.jagged import rows_of_nested
from globalpool.layout.ragged import Ragged

ARGUMENTS = frozenset(LayoutArguments.__annotations__)
DENSE_ONLY, RAGGED_ONLY = ("lengths", "sizes", "channel_dim"), ("ptr", "batch", "size", "shapes", "pos")


def arrange(
    where: str, x: Tensor, dim: tuple[int, ...] | None = None, **arguments: Unpack[LayoutArguments]
) -> tuple[Tensor, Layout]:
    """Features dense ``(N, C, *S)`` or ragged ``(T, C)``, zero where the mask is, and their layout: see ``place``."""
    features, layout = place(where, x, dim, **arguments)
    # Not a product with the mask: NaN or Inf in absent positions must vanish, forward and backward.
    return layout.present(features, 0), layout


def place(
    where: str, x: Tensor, dim: tuple[int, ...] | None = None, **arguments: Unpack[LayoutArguments]
) -> tuple[Tensor, Layout]:
    """Features as dense ``(N, C, *S)`` or ragged ``(T, C)``, as they are at absent positions too, and their layout.

    A nested tensor of torch's jagged layout, ``(N, length, C)`` or ``(N, C, length)``, is its rows with its offsets.
    ``where`` names the caller in errors; ``dim`` names the axes of ``(N, C, *S)`` that are reduced (None = all of
    ``S``), counted as in torch: 2 is the first spatial axis, -1 the last.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        hint = "Write x.float()." if isinstance(x, Tensor) else "Write torch.as_tensor(x)."
        raise LayoutError(where, "features as a floating-point tensor", describe(x), hint)
    if x.is_nested:
        x, arguments = rows_of_nested(where, x, arguments)
    unknown = sorted(set(arguments) - ARGUMENTS)
    if unknown:
        hint = "`mask` is True at real positions, torch's key_padding_mask at absent ones: pass mask=~key_padding_mask."
        hint = hint if any("mask" in name for name in unknown) else ""
        raise LayoutError(where, f"arguments among {', '.join(sorted(ARGUMENTS))}", ", ".join(unknown), hint)
    given = {name for name, value in arguments.items() if value is not None}
    ragged = bool(given & {"ptr", "batch"})
    strangers = sorted(given.intersection(DENSE_ONLY if ragged else RAGGED_ONLY))
    if arguments.get("channel_dim") == 1:
        strangers = [name for name in strangers if name != "channel_dim"]
    if strangers:
        kind, other = ("ragged", "dense") if ragged else ("dense", "ragged")
        hint = "Leave them out." if ragged else "Give ptr=(N + 1,) or batch=(T,) with ragged rows."
        raise LayoutError(where, f"only {kind} arguments", f"{strangers}, which are for {other} ones", hint)
    features: Tensor
    layout: Dense | Ragged
    features, layout = _ragged(where, x, dim, arguments) if ragged else _dense(where, x, dim, arguments)
    assignment = arguments.get("assignment")
    if assignment is not None:
        positions = (*features.shape[:1], *features.shape[2:])
        channel_dim = 1 if ragged else arguments.get("channel_dim", 1)
        layout = _assigned(where, layout, check_assignment(where, assignment, positions, channel_dim).to(x.device))
    return features, layout


def _assigned(where: str, layout: Dense | Ragged, assignment: Tensor) -> Dense | Ragged:
    """The layout with its assignment, 0 at absent positions and shares in the accumulation dtype."""
    soft = assignment.is_floating_point()
    assignment = layout.present(assignment.to(layout.dtype) if soft else assignment, 0)
    check_assigned(where, assignment)
    return replace(layout, assignment=assignment)


def spatial_axes(where: str, dim: tuple[int, ...] | None, axes: int) -> tuple[int, ...]:
    """``dim`` as ascending indices into the spatial axes."""
    if dim is None:
        return tuple(range(axes))
    found = [entry - 2 if entry >= 0 else axes + entry for entry in dim]
    if not found or len(set(found)) != len(found) or not all(0 <= axis < axes for axis in found):
        raise LayoutError(
            where,
            f"`dim` to name different spatial axes of (N, C, *S), 2 to {axes + 1} or {-axes} to -1",
            f"dim={tuple(dim)}",
            "0 is the batch and 1 the channels; -1 is the last spatial axis.",
        )
    return tuple(sorted(found))


def _dense(where: str, x: Tensor, dim: tuple[int, ...] | None, arguments: LayoutArguments) -> tuple[Tensor, Dense]:
    channel_dim = arguments.get("channel_dim", 1)
    if not 3 <= x.ndim <= 5:
        hint = "Rows of several samples (T, C) need ptr=(N + 1,) or batch=(T,)." if x.ndim == 2 else ""
        raise LayoutError(where, "dense features (N, C, *S) with 1, 2 or 3 spatial axes", describe(x), hint)
    if channel_dim not in (1, -1, x.ndim - 1):
        raise LayoutError(where, f"channel_dim to be 1, -1 or {x.ndim - 1}", str(channel_dim), "Use x.movedim first.")
    features = x.movedim(channel_dim, 1)
    samples, spatial = features.shape[0], tuple(features.shape[2:])
    dtype = kernels.accumulation_dtype(x.dtype)
    mask, lengths, sizes = arguments.get("mask"), arguments.get("lengths"), arguments.get("sizes")
    measure = None
    if lengths is not None:
        axes = spatial_axes(where, dim, len(spatial))
        if len(axes) != 1 or sizes is not None:
            got = describe(x) + ("" if sizes is None else " with `sizes` as well")
            expected = "`lengths` with one reduced axis, features (N, C, L) or dim="
            raise LayoutError(where, expected, got, "Use sizes=(N, D) instead.")
        lengths = check_integers(where, "lengths", lengths, (samples,), "positions of each sample").to(x.device)
        every = [torch.ones_like(lengths) * side for side in spatial]
        every[axes[0]] = lengths
        sizes = torch.stack(every, 1)
    if sizes is not None:
        extent = check_integers(where, "sizes", sizes, (samples, len(spatial)), "each sample's extent").to(x.device)
        limit = torch.stack([torch.ones((), dtype=torch.long, device=x.device) * side for side in spatial])
        require(
            ((extent >= 0) & (extent <= limit)).all(),
            lambda: LayoutError(
                where,
                f"sizes or lengths between 0 and the feature map's {spatial}",
                f"{extent.amin(0).tolist()} to {extent.amax(0).tolist()}",
                "Count positions of the feature map, not pixels of the picture.",
            ),
        )
        sizes = extent
        measure = _inside(sizes, spatial).to(dtype)
    if mask is not None:
        own = check_mask(where, mask, (samples, *spatial), "(N, *S)", dtype).to(x.device)
        measure = own if measure is None else measure * own
    reduced = spatial_axes(where, dim, len(spatial))
    return features, Dense(samples, spatial, reduced, dtype, x.device, measure, sizes)


def _inside(sizes: Tensor, spatial: tuple[int, ...]) -> Tensor:
    """``(N, *S)``: True below each sample's extent."""
    inside = torch.ones((1,) * (1 + len(spatial)), dtype=torch.bool, device=sizes.device)
    for axis, side in enumerate(spatial):
        line = torch.arange(side, device=sizes.device) < sizes[:, axis, None]
        inside = inside & line.reshape(sizes.shape[0], *(side if other == axis else 1 for other in range(len(spatial))))
    return inside


def _ragged(where: str, x: Tensor, dim: tuple[int, ...] | None, arguments: LayoutArguments) -> tuple[Tensor, Ragged]:
    if x.ndim != 2:
        raise LayoutError(where, "ragged features (T, C), all positions one after the other", describe(x))
    rows, dtype, device = x.shape[0], kernels.accumulation_dtype(x.dtype), x.device
    index, ptr, samples = _samples(where, x, arguments)
    mask, shapes, pos = arguments.get("mask"), arguments.get("shapes"), arguments.get("pos")
    measure = None if mask is None else check_mask(where, mask, (rows,), "(T,)", dtype).to(device)
    if shapes is not None and pos is not None:
        raise LayoutError(where, "one geometry", "`shapes` and `pos`", "Cells have shapes, points have pos.")
    if pos is not None and (not isinstance(pos, Tensor) or pos.ndim != 2 or pos.shape[0] != rows):
        raise LayoutError(where, f"`pos` of shape (T, D) with T = {rows}", describe(pos))
    if pos is not None:
        finite = pos.isfinite().all(1)
        require(
            (finite if measure is None else finite | (measure.to(pos.device) == 0)).all(),
            lambda: LayoutError(where, "finite `pos` at every present row", "NaN or Inf", "Mask those rows out."),
        )
    if shapes is not None:
        shapes = check_integers(where, "shapes", shapes, (samples, None), "each sample's grid").to(device)
        require(
            (shapes.prod(1) == ptr.diff()).all() & (shapes >= 0).all(),
            lambda: LayoutError(
                where,
                "`shapes` whose products are the numbers of rows",
                f"shapes {shapes.tolist()[:8]} for {ptr.diff().tolist()[:8]} rows",
            ),
        )
    layout = Ragged(
        samples, rows, ptr, dtype, device, index,
        measure=measure, shapes=shapes, pos=None if pos is None else pos.to(device),
    )  # fmt: skip
    return x, layout if dim is None else _keep(where, layout, dim)


def _samples(where: str, x: Tensor, arguments: LayoutArguments) -> tuple[Tensor | None, Tensor, int]:
    """Sample of each row ``(T,)`` (None: made when it is asked for), first row of each ``(N + 1,)``, and N."""
    rows, device = x.shape[0], x.device
    ptr, batch, size = arguments.get("ptr"), arguments.get("batch"), arguments.get("size")
    if ptr is not None:
        if batch is not None or size is not None:
            raise LayoutError(where, "`ptr` alone, or `batch` with `size`", "both", "Leave one of them out.")
        first = check_integers(where, "ptr", ptr, (None,), "first row of each sample, then T").to(device)
        if first.shape[0] == 0:
            raise LayoutError(where, "`ptr` of shape (N + 1,)", "an empty one", "No sample at all is ptr = [0].")
        if not kernels.pays("batch", x, first) or not kernels.rising(first, rows):
            require(
                (first[0] == 0) & (first[-1] == rows) & (first.diff() >= 0).all(),
                lambda: LayoutError(where, f"`ptr` rising from 0 to T = {rows}", f"{first.tolist()[:9]}"),
            )
        index = None
        if torch.compiler.is_compiling():
            index = torch.searchsorted(first, torch.arange(rows, device=device), right=True) - 1
        return index, first, first.shape[0] - 1
    assert batch is not None
    batch = check_integers(where, "batch", batch, (rows,), "the sample of each row").to(device)
    if rows and kernels.pays("batch", batch):
        size = int(batch[-1]) + 1 if size is None else size
        ptr, wrong = kernels.pointers(batch, max(size, 0))
        if not wrong:
            return batch, ptr, size
    require(
        (batch.diff() >= 0).all(),
        lambda: LayoutError(
            where,
            "`batch` in ascending order",
            "an unsorted one",
            "Sort the rows first: order = batch.argsort(stable=True); x, batch = x[order], batch[order].",
        ),
    )
    if size is None:
        if torch.compiler.is_compiling():
            raise LayoutError(where, "`size` = N beside `batch` under torch.compile", "None", "Pass size=N.")
        size = int(batch[-1]) + 1 if rows else 0
    require(
        ((batch >= 0) & (batch < size)).all(),
        lambda: LayoutError(
            where, f"entries of `batch` from 0 to size - 1 = {size - 1}", f"{int(batch.min())} to {int(batch.max())}"
        ),
    )
    ptr = torch.searchsorted(batch, torch.arange(size + 1, device=device))
    return batch, ptr, size


def _keep(where: str, layout: Ragged, dim: tuple[int, ...]) -> Ragged:
    """The layout that sums over the axes ``dim`` only; the other axes must be equally long in every sample."""
    cell, shape = layout.cells(where)
    axes = shape.shape[1]
    reduced = spatial_axes(where, dim, axes)
    kept = tuple(axis for axis in range(axes) if axis not in reduced)
    if not kept:
        return layout
    assert layout.shapes is not None
    lengths = layout.shapes[:, list(kept)]
    require(
        (lengths == lengths[:1]).all(),
        lambda: LayoutError(
            where,
            "axes that are not reduced to be equally long in every sample",
            f"lengths {lengths.tolist()[:8]}",
            "Reduce that axis too, or cut the samples to one length.",
        ),
    )
    sides = tuple(int(side) for side in lengths[0]) if layout.samples else (0,) * len(kept)
    segment = layout.index
    for axis, side in zip(kept, sides, strict=True):
        segment = segment * side + cell[:, axis]
    return replace(layout, given_segment=segment, kept=kept, kept_lengths=sides)
