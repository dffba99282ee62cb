"""The same network with other borders, or with a low-pass before each stride: its operations changed as they run.

Works on the operations and not on modules, so adopted networks, which have none, are served too.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class CircularBorders(TorchDispatchMode):
    """Every zero padding of a spatial axis, in convolutions, maximum poolings and by itself, goes round instead.

    ``padded`` counts them. Averages that count padding are left as they are.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.padded = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is aten.convolution.default and not args[6] and any(args[4]):
            args = (self._around(args[0], args[4]), *args[1:4], [0] * len(args[4]), *args[5:])
        elif func is aten.constant_pad_nd.default and all(width >= 0 for width in args[1]) and any(args[1]):
            self.padded += 1
            return _go_round(args[0], list(args[1]))
        elif func in MAXIMA and len(args) > 3 and any(args[3]):
            args = (self._around(args[0], args[3]), *args[1:3], [0] * len(args[3]), *args[4:])
        return func(*args, **kwargs)

    def _around(self, x: Tensor, widths: list[int]) -> Tensor:
        self.padded += 1
        axes = x.ndim - 2
        each = list(widths) if len(widths) == axes else list(widths) * axes
        return _go_round(x, [width for own in reversed(each) for width in (own, own)])


class LowPass(TorchDispatchMode):
    """A binomial filter [1, 2, 1] / 4 along each axis before every operation that strides (Zhang 2019).

    For a convolution it stands before it and not between it and the stride, which is the same but at the border.
    ``blurred`` counts them.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.blurred = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        strides = args[3] if func is aten.convolution.default and not args[6] else None
        if func in POOLINGS:
            strides = args[2] if len(args) > 2 and args[2] else args[1]
        if strides is not None and any(stride > 1 for stride in strides):
            self.blurred += 1
            axes = args[0].ndim - 2
            each = list(strides) if len(strides) == axes else list(strides) * axes
            args = (_blurred(args[0], each), *args[1:])
        return func(*args, **kwargs)


MAXIMA: tuple[Callable[..., Any], ...] = (
    aten.max_pool2d_with_indices.default,
    aten.max_pool3d_with_indices.default,
)
POOLINGS = (*MAXIMA, aten.avg_pool2d.default, aten.avg_pool3d.default)


def _go_round(x: Tensor, widths: list[int]) -> Tensor:
    """Circular padding, ``widths`` as for torch's pad; by index, so that any width and any axis will do."""
    for number in range(len(widths) // 2):
        before, after = widths[2 * number], widths[2 * number + 1]
        if before or after:
            axis = x.ndim - 1 - number
            places = torch.arange(-before, x.shape[axis] + after, device=x.device) % x.shape[axis]
            x = x.index_select(axis, places)
    return x


def _blurred(x: Tensor, strides: list[int]) -> Tensor:
    """``x (N, C, *S)`` filtered along the axes that are strided; its edge values stand for what lies beyond."""
    for number, stride in enumerate(strides):
        if stride > 1 and x.shape[2 + number] > 1:
            moved = x.movedim(2 + number, -1)
            wide = pad(moved.flatten(1, -2), (1, 1), mode="replicate")
            wide = (wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]) / 4
            x = wide.reshape(moved.shape).movedim(-1, 2 + number).contiguous()
    return x
