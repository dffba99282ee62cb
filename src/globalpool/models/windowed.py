"""A pool that keeps an axis has a tail for one length of it; longer inputs run as windows, laid side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.errors import LayoutError
from globalpool.evidence import Classes, Evidence, account, evaluating
from globalpool.evidence.choose import choose
from globalpool.layout import LayoutArguments, Padded, place
from globalpool.pools import Pool


@dataclass(frozen=True, eq=False)
class Windows:
    """``padded``: one row a window; ``samples``, ``numbers``, ``shares`` ``(W,)``: whose, its how many-th, how much."""

    padded: Padded
    samples: Tensor
    numbers: Tensor
    shares: Tensor


def windows_of(x: Padded | Tensor, length: int) -> Windows:
    """Windows of ``length`` along the last axis, side by side; the last of each sample may be filled up.

    ``shares`` sum to 1 over the windows of a sample: of its length, or of its measure where it has one.
    """
    if isinstance(x, Tensor):
        x = Padded(x, torch.tensor(x.shape[2:], device=x.device).expand(len(x), -1))
    own = x.sizes[:, -1]
    count = max(-(-x.values.shape[-1] // length), 1)
    short = count * length - x.values.shape[-1]
    first = torch.arange(count, device=own.device) * length
    real = (own[:, None] - first).clamp(0, length)
    samples, numbers = (real > 0).nonzero(as_tuple=True)

    def cut(values: Tensor) -> Tensor:
        pieces: Tensor = nn.functional.pad(values, (0, short)).unflatten(-1, (count, length)).movedim(-2, 1)
        chosen: Tensor = pieces[samples, numbers]
        return chosen

    sizes = torch.cat([x.sizes[samples, :-1], real[samples, numbers, None]], 1)
    measure = None if x.measure is None else cut(x.measure)
    amounts = sizes[:, -1].to(x.values.dtype) if measure is None else measure.flatten(1).sum(1)
    total = amounts.new_zeros(len(x)).index_add(0, samples, amounts)
    shares = amounts / torch.where(total > 0, total, 1)[samples]
    return Windows(Padded(cut(x.values), sizes, measure), samples, numbers, shares)


class WindowedClassifier(PooledClassifier):
    """A ``PooledClassifier`` for one length of the last axis, for inputs of any length along it.

    ``logits = sum over windows of share * tail(pool(trunk(window)))``: the windows of ``window`` positions of the input
    lie side by side from its beginning, the last is filled up with absent positions, and each counts by its share of
    the sample. The evidence of a sample is that of its windows, each times its share, side by side; it adds up to the
    logit as that of one window does. A trunk that mixes positions along the axis sees none beyond a window's border.
    Takes ``Padded`` samples or a tensor ``(N, C, *S)``; the trunk must take ``Padded``.
    """

    def __init__(
        self,
        trunk: nn.Module,
        pool: Pool,
        tail: nn.Module,
        window: int,
        *,
        labels: Sequence[str] | None = None,
        input_spec: Any = None,
    ) -> None:
        super().__init__(trunk, pool, tail, labels=labels, input_spec=input_spec)
        if not isinstance(window, int) or isinstance(window, bool) or window < 1:
            raise LayoutError("WindowedClassifier", "`window` as a whole number of at least 1", repr(window))
        self.window = window

    def forward(self, x: Any, **layout: Unpack[LayoutArguments]) -> Tensor:
        """Logits ``(N, K)``."""
        _check(layout)
        cut = windows_of(x, self.window)
        return _joined(super().forward(cut.padded), cut, len(x))

    def evidence(self, x: Any, classes: Classes = "top1", **layout: Unpack[LayoutArguments]) -> Evidence:
        """Maps ``(N, K', *S)`` whose last axis holds the windows' positions one after the other."""
        _check(layout)
        cut = windows_of(x, self.window)
        with evaluating(self):
            found = self.located(cut.padded)
            every = account(self.pool, self.tail, found.values, "all", **found.layout)
        ids, _ = choose(classes, _joined(every.logits, cut, len(x)))
        own = every.select(ids[cut.samples])
        shares = cut.shares.reshape(-1, *(1,) * (own.maps.ndim - 1))
        maps = _laid(own.maps * shares, cut, len(x))
        mask = found.layout.get("mask")
        here = _laid(torch.ones_like(own.maps[:, 0], dtype=torch.bool) if mask is None else mask, cut, len(x))
        _, arranged = place("WindowedClassifier", maps, self.pool.dim, mask=here)
        return replace(
            own,
            maps=maps,
            classes=ids,
            logits=_joined(own.logits, cut, len(x)),
            offset=_joined(own.offset, cut, len(x)),
            magnitude=_joined(own.size(), cut, len(x)),
            layout=arranged,
        )


def _check(layout: LayoutArguments) -> None:
    if layout:
        hint = "Say the lengths of the input by Padded."
        raise LayoutError("WindowedClassifier", "no layout arguments", ", ".join(layout), hint)


def _joined(values: Tensor, cut: Windows, count: int) -> Tensor:
    """``(W, K)`` to ``(N, K)``: the sum under the shares."""
    weighed = values * cut.shares[:, None].to(values.dtype)
    return weighed.new_zeros(count, values.shape[1]).index_add(0, cut.samples, weighed)


def _laid(values: Tensor, cut: Windows, count: int) -> Tensor:
    """``(W, ..., T)`` to ``(N, ..., windows * T)``, zeros where a sample has fewer windows."""
    most = int(cut.numbers.max()) + 1
    found = values.new_zeros(count, most, *values.shape[1:])
    found[cut.samples, cut.numbers] = values
    return found.movedim(1, -2).flatten(-2)
