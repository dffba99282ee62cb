"""How tensors lie in memory, as the compiled loops read it: rows of channels, or lines of positions."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from globalpool.kernels import slices as cutting
from globalpool.kernels.pages import in_large_pages

#: How Numba, which knows no half precision, is given it: float16 and bfloat16 as differently signed bits.
BITS = {torch.bfloat16: torch.uint16, torch.float16: torch.int16}
#: Parts for each thread, so that one that is held up leaves work to the others.
PARTS = 4
#: Below this many numbers a second thread costs more than it saves.
SINGLE = 1 << 15


def written_out(x: Tensor) -> Any:
    """The numbers one after the other, as loops read them: an expanded tensor is written out."""
    # reshape alone keeps the stride 0 of an expanded tensor, and a loop would read behind its memory.
    return x.reshape(-1).contiguous().numpy()


def flat(x: Tensor) -> Any:
    """The memory a tensor spans as a flat array that shares it, from its first number to its last."""
    x = x.detach()
    span = 1 + sum((side - 1) * stride for side, stride in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0
    line = x.as_strided((span,), (1,))
    return line.view(BITS.get(x.dtype, x.dtype)).numpy()


def in_lines(x: Tensor) -> bool:
    """Whether the positions of dense ``(N, C, P)`` follow one another in memory; otherwise its channels do."""
    return x.ndim == 3 and x.stride(2) == 1 and (x.stride(1) != 1 or x.shape[2] > 1)


def readable(x: Tensor) -> Tensor:
    """``x`` itself where rows or lines of it are in one piece, else a copy."""
    if x.stride(1) == 1 or x.shape[1] == 1 or (x.ndim == 3 and x.stride(2) == 1):
        return x
    return x.contiguous()


def like(x: Tensor) -> Tensor:
    """Memory for a gradient, laid out like ``x`` where loops can write that, else contiguous."""
    out = torch.empty_like(x)
    if readable(out) is not out:
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
    in_large_pages(out)
    return out


@dataclass(frozen=True)
class Rows:
    """Where row ``t`` of sample ``n`` begins: ``n * skew + t * stride``."""

    array: Any
    stride: int
    skew: int

    @classmethod
    def of(cls, x: Tensor) -> "Rows":
        """Ragged ``(T, C)`` or dense ``(N, C, P)`` in rows, whose row ``p`` of sample ``n`` has the number n P + p."""
        if x.ndim == 2:
            return cls(flat(x), x.stride(0), 0)
        return cls(flat(x), x.stride(2), x.stride(0) - x.shape[2] * x.stride(2))


@dataclass(frozen=True)
class Lines:
    """Where the line of channel ``c`` in sample ``n`` begins: ``n * sample + c * channel``."""

    array: Any
    sample: int
    channel: int

    @classmethod
    def of(cls, x: Tensor) -> "Lines":
        """Dense ``(N, C, P)`` in lines."""
        return cls(flat(x), x.stride(0), x.stride(1))


@dataclass(frozen=True)
class Plan:
    """The slices of a batch, how many of them are pieces of longer samples, and the runs that are shared out."""

    slices: Any
    pieces: int
    runs: list[tuple[int, int]]


def plan(x: Tensor, ptr: Tensor | None) -> Plan:
    """The plan for ragged ``(T, C)`` with ``ptr (N + 1,)``, or for dense ``(N, C, P)`` in rows."""
    pointers = np.arange(x.shape[0] + 1) * x.shape[2] if ptr is None else ptr.detach().contiguous().numpy()
    return Plan(*cutting.cut(pointers, x.shape[1], _parts(x)))


def sample_runs(x: Tensor, ptr: Tensor) -> tuple[list[tuple[int, int]], Any]:
    """Whole samples of ragged ``x (T, R)`` in runs of about as many rows, and ``ptr`` as an array."""
    pointers = ptr.detach().contiguous().numpy()
    cost = pointers + np.arange(len(pointers))
    bounds = np.searchsorted(cost, np.linspace(0, cost[-1], _parts(x) + 1)).tolist()
    bounds[0], bounds[-1] = 0, len(pointers) - 1
    return [(a, b) for a, b in itertools.pairwise(bounds) if a < b], pointers


def scratch(plan: Plan, *shape: int) -> Any:
    """float64 ``(pieces, *shape)`` for what the pieces of long samples give."""
    return np.empty((plan.pieces, *shape))


def runs(x: Tensor) -> list[tuple[int, int]]:
    """The ``N * C`` lines of dense ``(N, C, P)`` in runs that are shared out."""
    lines = x.shape[0] * x.shape[1]
    bounds = np.linspace(0, lines, min(_parts(x), lines) + 1).astype(int).tolist()
    return list(itertools.pairwise(bounds))


def _parts(x: Tensor) -> int:
    threads = torch.get_num_threads()
    return 1 if threads == 1 or x.numel() < SINGLE else PARTS * threads
