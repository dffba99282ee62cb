"""Large pages for large results: most of the time of writing fresh memory goes into page faults."""

import ctypes
import sys

import torch
from torch import Tensor

from globalpool.kernels.choice import watched

#: Bytes from which on it is worth a system call, and the size and the alignment of a large page.
LARGE, PAGE = 1 << 22, 1 << 21
MADV_HUGEPAGE = 14

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def in_large_pages(fresh: Tensor) -> None:
    """Ask the system to back memory that nobody has written yet by large pages; it may decline, which is no error."""
    size = fresh.untyped_storage().nbytes()
    if _libc is None or size < LARGE:
        return
    begin = -(-fresh.untyped_storage().data_ptr() // PAGE) * PAGE
    end = (fresh.untyped_storage().data_ptr() + size) // PAGE * PAGE
    _libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_HUGEPAGE)


def empty(shape: tuple[int, ...], dtype: torch.dtype, like: Tensor) -> Tensor:
    """``like.new_empty(shape, dtype=dtype)``, in large pages where it is large."""
    fresh = like.new_empty(shape, dtype=dtype)
    in_large_pages(fresh)
    return fresh


def product(x: Tensor, factors: Tensor) -> Tensor:
    """``x * factors``, shaped like ``x``, where autograd records nothing; a large result is put into large pages."""
    large = x.device.type == "cpu" and x.numel() * x.element_size() >= LARGE
    if not large or torch.compiler.is_compiling() or watched(x, factors) or x.dtype != factors.dtype:
        return x * factors
    out = torch.empty_like(x)
    in_large_pages(out)
    return torch.mul(x.detach(), factors.detach(), out=out)
