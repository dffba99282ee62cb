"""One forward pass, counted by row: multiply-adds and live bytes."""

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from globalpool.surgery.rows import ITSELF, following


def _matrix_vector(matrix: Any, vector: Any, **_: Any) -> int:
    return 2 * int(matrix[0]) * int(matrix[1])


def _add_matrix_vector(start: Any, matrix: Any, vector: Any, **_: Any) -> int:
    return _matrix_vector(matrix, vector)


def _dot(a: Any, b: Any, **_: Any) -> int:
    return 2 * int(a[0])


#: Products that torch's counter knows no formula for: floating point operations from the shapes of the arguments.
FORMULAS: dict[Any, Callable[..., int]] = {
    torch.ops.aten.mv: _matrix_vector,
    torch.ops.aten.addmv: _add_matrix_vector,
    torch.ops.aten.dot: _dot,
}
#: Operations that multiply matrices inside, and that nobody counts.
UNCOUNTED = ("mkldnn_rnn_layer", "_cudnn_rnn", "miopen_rnn", "_trilinear", "_int_mm", "_grouped_mm", "_cdist_forward")


class LiveBytes(TorchDispatchMode):
    """Bytes of the storages made while active and not yet freed.

    ``existing``: tensors that are there before and are not counted. ``row``: whose the next operations are. ``peaks``:
    the most live bytes while each row ran an operation. ``uncounted``: operations of UNCOUNTED that ran.
    """

    def __init__(self, existing: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.row = ITSELF
        self.peaks: dict[str, int] = defaultdict(int)
        self.uncounted: set[str] = set()
        self._live = 0
        # Held, so that no new storage can get the id of one of them.
        self._existing = [tensor.untyped_storage() for tensor in existing if tensor.layout is torch.strided]
        self._known = {id(storage) for storage in self._existing}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and leaf.layout is torch.strided:
                self._add(leaf.untyped_storage())
        self.peaks[self.row] = max(self.peaks[self.row], self._live)
        name = func._overloadpacket.__name__
        if name in UNCOUNTED:
            self.uncounted.add(name)
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        """Views and results written in place have a storage that is known."""
        if id(storage) not in self._known:
            self._known.add(id(storage))
            self._live += storage.nbytes()
            weakref.finalize(storage, self._free, id(storage), storage.nbytes()).atexit = False

    def _free(self, known: int, size: int) -> None:
        self._known.remove(known)
        self._live -= size


@dataclass(frozen=True)
class Count:
    """``multiply_adds`` and ``peak_memory`` (bytes) by row, for rows that ran an operation; see LiveBytes."""

    multiply_adds: dict[str, int]
    peak_memory: dict[str, int]
    uncounted: tuple[str, ...]


def count(model: nn.Module, x: Tensor) -> Count:
    """One forward pass of ``model`` on ``x``, which may be on the meta device, in the present mode."""
    operations: dict[str, int] = defaultdict(int)
    live = LiveBytes([x, *model.parameters(), *model.buffers()])
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)

    def arrive(row: str) -> None:
        operations[live.row] += counter.get_total_flops() - sum(operations.values())
        live.row = row

    with torch.no_grad(), _plain_attention(), live, counter, following(model, arrive):
        model(x)
        arrive(ITSELF)
    # Each formula counts a product and a sum as two operations.
    return Count({row: operations[row] // 2 for row in live.peaks}, dict(live.peaks), tuple(sorted(live.uncounted)))


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Without the fused kernel of nn.MultiheadAttention, which hides its products from the counter."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
