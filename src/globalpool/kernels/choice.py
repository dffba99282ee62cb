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

#: Numbers in the features from which on a loop is taken; a custom operator alone costs about 20 microseconds.
CROSSOVER = 1 << 15
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


def pays(x: Tensor, *others: Tensor | None, crossover: int = CROSSOVER) -> bool:
    """Whether a loop computes something of the features ``x`` and the ``others`` beside them."""
    if _use == "never" or x.device.type != "cpu" or x.dtype not in (*STORED, torch.int64) or x.numel() == 0:
        return False
    if _use == "auto" and x.numel() < crossover:
        return False
    return not watched(x, *others) and available()


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
