"""Nested tensors of torch's jagged layout, which are ragged rows already: nothing is padded."""

import torch
from torch import Tensor

from globalpool.errors import LayoutError
from globalpool.layout.base import LayoutArguments


def rows_of_nested(where: str, x: Tensor, arguments: LayoutArguments) -> tuple[Tensor, LayoutArguments]:
    """The rows ``(T, C)`` of a jagged nested tensor, and the arguments of the call with its offsets as ``ptr``.

    Raises LayoutError for nested tensors of another layout, with holes, or with more than one ragged and one channel
    axis, and for arguments that say again which rows belong together.
    """
    expected = "a nested tensor (N, length, C) or (N, C, length) with layout=torch.jagged and no holes"
    if x.layout != torch.jagged or x.ndim != 3:
        got = f"one with {x.ndim} axes and layout {x.layout}"
        raise LayoutError(where, expected, got, "Build it by torch.nested.nested_tensor(list, layout=torch.jagged).")
    if x.lengths() is not None:  # type: ignore[attr-defined]
        raise LayoutError(where, expected, "one with `lengths`", "x.contiguous() closes the holes.")
    twice = sorted(name for name in ("ptr", "batch", "size") if arguments.get(name) is not None)
    if twice:
        raise LayoutError(where, "a nested tensor alone", f"{twice} as well", "Its offsets are the pointers.")
    rows: Tensor = x.values()
    if x._ragged_idx == 2:  # type: ignore[attr-defined]
        rows = rows.transpose(0, 1)
    own: LayoutArguments = {**arguments, "ptr": x.offsets()}  # type: ignore[attr-defined]
    return rows, own
