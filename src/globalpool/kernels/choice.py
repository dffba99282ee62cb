"""The one place that chooses between plain torch and a compiled loop.

A loop is taken for plain CPU tensors, in eager mode or under ``torch.compile``, from the sizes on at which it was
measured to be faster. Whoever watches the operations (forward derivatives, ``torch.func``, dispatch modes, exports)
sees torch's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

Step = Literal["sum", "weighted", "max", "both", "evidence", "exponential", "softmax", "moments", "scores", "batch"]
#: Numbers in the features from which on a loop is taken: ragged, dense under a measure, dense without one. Measured on
#: one thread of an AMD EPYC: an operator of ours costs 60 to 130 microseconds before it reads
#: anything, torch's mean of a dense batch 50, and a pool of ten operations 200 to 400.
CROSSOVERS: dict[Step, tuple[int, int, int]] = {
    "sum": (1 << 17, 1 << 17, 1 << 21),
    "weighted": (1 << 15, 1 << 18, 1 << 18),
    "max": (1 << 16, 1 << 16, 1 << 21),
    "both": (1 << 17, 1 << 17, 1 << 18),
    "evidence": (1 << 17, 1 << 17, 1 << 17),
    "exponential": (1 << 14, 1 << 14, 1 << 15),
    "softmax": (1 << 15, 1 << 15, 1 << 18),
    "moments": (1 << 12, 1 << 12, 1 << 12),
    "scores": (1 << 11, 1 << 11, 1 << 11),
    "batch": (1 << 15, 1 << 15, 1 << 15),
}
#: The same where torch's own sums read half precision: number by number.
HALF = 1 << 15
STORED = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
Use = Literal["auto", "always", "never"]

_use: Use = "auto"
_available: bool | None = None


@contextmanager
def loops(use: Use) -> Iterator[None]:
    """Within: compiled loops at every size they can do ("always"), nowhere, or where they pay ("auto", the default)."""
    global _use
    before, _use = _use, use
    try:
        yield
    finally:
        _use = before


def forced() -> bool:
    """Whether loops are to be taken also where torch's own operation is as fast."""
    return _use == "always"


def available() -> bool:
    """Whether the loops can be compiled here: Numba is installed and can be imported."""
    global _available
    if _available is None:
        _available = find_spec("numba") is not None
        if _available and not torch.compiler.is_compiling():
            try:
                import numba  # noqa: F401
            except Exception:  # whatever is wrong with it, torch is not
                _available = False
    return _available


def pays(step: Step, x: Tensor, *others: Tensor | None, ragged: bool = True, measured: bool = False) -> bool:
    """Whether a loop takes this step over the features ``x``, with ``others`` beside them."""
    if _use == "never" or x.device.type != "cpu" or x.dtype not in (*STORED, torch.int64) or x.numel() == 0:
        return False
    if _use == "auto" and x.numel() < _crossover(step, x.dtype, ragged, measured):
        return False
    return not watched(x, *others) and available()


def _crossover(step: Step, dtype: torch.dtype, ragged: bool, measured: bool) -> int:
    size = CROSSOVERS[step][0 if ragged else 1 if measured else 2]
    return min(size, HALF) if dtype in (torch.bfloat16, torch.float16) else size


def watched(*tensors: Tensor | None) -> bool:
    """Whether something other than autograd and ``torch.compile`` follows what is done with these tensors."""
    if any(type(tensor) not in (Tensor, nn.Parameter) for tensor in tensors if tensor is not None):
        return True
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting()
    return (
        forward_ad._current_level >= 0
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._get_tracing_state() is not None
    )
