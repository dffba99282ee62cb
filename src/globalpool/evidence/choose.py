"""Which classes evidence is asked for."""

from typing import Literal

import torch
from torch import Tensor

from globalpool.errors import EvidenceError
from globalpool.layout.check import INTEGERS, describe, require

Classes = Literal["top1", "all"] | str | int | Tensor


def choose(classes: Classes, logits: Tensor) -> tuple[Tensor, bool]:
    """Class ids ``(N, K')`` and whether every sample is known to have the same ones.

    ``classes``: "all", "top1" or "top<k>" (highest logits first), one id, or int64 ids ``(N,)`` or ``(N, K')``.
    ``ids.expand(N, -1)`` asks for the same in all samples without a copy of the tail's rows for each.
    """
    samples, count = logits.shape
    if isinstance(classes, str):
        digits = classes.removeprefix("top")
        if classes == "all":
            return torch.arange(count, device=logits.device).expand(samples, count), True
        if classes.startswith("top") and digits.isascii() and digits.isdecimal() and 1 <= int(digits) <= count:
            return logits.topk(int(digits), dim=1).indices, False
        raise _wrong(repr(classes), count)
    if isinstance(classes, int) and not isinstance(classes, bool):
        if not 0 <= classes < count:
            raise _wrong(str(classes), count)
        return torch.full((samples, 1), classes, dtype=torch.long, device=logits.device), True
    if not isinstance(classes, Tensor) or classes.dtype not in INTEGERS or classes.ndim not in (1, 2):
        raise _wrong(describe(classes), count)
    if classes.shape[0] != samples:
        raise _wrong(describe(classes), count)
    ids = classes.long().to(logits.device)
    require(((ids >= 0) & (ids < count)).all(), lambda: _wrong(f"ids from {int(ids.min())} to {int(ids.max())}", count))
    ids = ids if ids.ndim == 2 else ids.unsqueeze(1)
    return ids, ids.stride(0) == 0 and samples > 0


def _wrong(got: str, count: int) -> EvidenceError:
    return EvidenceError(
        "evidence", f'`classes` to be "all", "top1" to "top{count}", or ids 0 to {count - 1}, (N,) or (N, K)', got
    )
