"""Checks of layout arguments: shapes always, values where reading them is free of surprises."""

from collections.abc import Callable

import torch
from torch import Tensor

from globalpool.errors import GlobalPoolError, LayoutError

#: Sizes of positions whose sums and products with features stay in the range of float32.
MEASURES = (1e-30, 1e30)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def describe(value: object) -> str:
    """``float32 (8, 49)`` for a tensor, its type name otherwise."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__


def require(condition: Tensor, error: Callable[[], GlobalPoolError]) -> None:
    """Raise ``error()`` unless the 0-dimensional ``condition`` holds.

    While torch traces (compile, export) there is no value to read and the check is left out; on an accelerator it
    runs there without waiting, as an assertion of the device.
    """
    if torch.compiler.is_compiling():
        return
    if condition.device.type == "cpu":
        if not bool(condition):
            raise error()
    else:
        torch._assert_async(condition, str(error()))


def check_mask(where: str, mask: Tensor, shape: tuple[int, ...], names: str, dtype: torch.dtype) -> Tensor:
    """The measure in ``dtype`` of a mask that is bool (True = real) or a float measure of the given shape."""
    expected = f"`mask` of shape {names} = {shape}, bool (True = real position) or a non-negative float measure"
    if not isinstance(mask, Tensor) or tuple(mask.shape) != shape:
        hint = "A mask has one entry a position of the feature map, none for channels."
        raise LayoutError(where, expected, describe(mask), hint)
    if mask.dtype == torch.bool:
        return mask.to(dtype)
    if not mask.is_floating_point():
        hint = "Write mask.bool(); True means real, the opposite of torch's key_padding_mask."
        raise LayoutError(where, expected, describe(mask), hint)
    low, high = MEASURES
    require(
        ((mask == 0) | ((mask >= low) & (mask <= high))).all(),
        lambda: LayoutError(
            where,
            f"every entry of the measure `mask` to be 0 or between {low:g} and {high:g}",
            f"entries from {float(mask.min()):g} to {float(mask.max()):g}",
            "A measure is the size of each position, in a unit of your choice; 0 marks an absent one.",
        ),
    )
    return mask.to(dtype)


def check_integers(where: str, name: str, value: Tensor, shape: tuple[int | None, ...], meaning: str) -> Tensor:
    """``value`` as int64, of a shape in which None allows any length."""
    fits = isinstance(value, Tensor) and value.ndim == len(shape)
    fits = fits and all(want is None or want == got for want, got in zip(shape, value.shape, strict=True))
    if not fits or value.dtype not in INTEGERS:
        wanted = str(tuple("any" if want is None else want for want in shape)).replace("'any'", "any")
        raise LayoutError(where, f"`{name}` as an integer tensor of shape {wanted}: {meaning}", describe(value))
    return value.long()


def check_assignment(where: str, assignment: Tensor, positions: tuple[int, ...], channel_dim: int) -> Tensor:
    """``assignment`` as int64 of shape ``positions``, or floating with one more axis at ``channel_dim`` moved to 1."""
    hard = isinstance(assignment, Tensor) and assignment.dtype in INTEGERS and tuple(assignment.shape) == positions
    if hard:
        return assignment.long()
    soft = isinstance(assignment, Tensor) and assignment.is_floating_point() and assignment.ndim == len(positions) + 1
    moved = assignment.movedim(channel_dim, 1) if soft else assignment
    if not soft or (*moved.shape[:1], *moved.shape[2:]) != positions or moved.shape[1] == 0:
        expected = f"`assignment` as cluster numbers, integers {positions}, or shares of G clusters, floating with G"
        hint = "One number a position; a soft assignment has the features' axes with clusters in place of channels."
        raise LayoutError(where, f"{expected} in place of the channels", describe(assignment), hint)
    return moved


def check_assigned(where: str, assignment: Tensor) -> None:
    """Raise unless cluster numbers are not negative, and shares finite and not negative."""
    if assignment.is_floating_point():
        require(
            ((assignment >= 0) & (assignment <= MEASURES[1])).all(),
            lambda: LayoutError(
                where,
                f"shares of clusters between 0 and {MEASURES[1]:g} at every present position",
                f"shares from {float(assignment.min()):g} to {float(assignment.max()):g}",
                "Scores become shares by softmax over the clusters.",
            ),
        )
        return
    require(
        (assignment >= 0).all(),
        lambda: LayoutError(
            where,
            "cluster numbers from 0 at every present position",
            f"{int(assignment.min())}",
            "Positions that belong to no cluster are masked out, or get a cluster of their own.",
        ),
    )
