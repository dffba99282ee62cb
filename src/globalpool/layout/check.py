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
