"""A tail held at the values of one batch: steps of linear pieces and constants, pushed forward or pulled back."""

from dataclasses import dataclass

import torch
from torch import Tensor

from globalpool.evidence.pieces import Picked, Piece, Shape


@dataclass(frozen=True, eq=False)
class Step:
    """``value = sum of piece(values[source]) + constant``; sources count from 0, the pooled vectors.

    ``constant`` broadcasts over ``(N, *shape)``; None is zero.
    """

    parts: tuple[tuple[int, Piece], ...]
    constant: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Held:
    """What a tail did to these samples: value 0 is the pooled vectors ``(N, *shape)``, value i + 1 is step i's.

    The last step gives the logits ``(N, K)``. ``logits`` come from the tail itself, not from the steps. ``affine``:
    no step holds anything of these samples.
    """

    shape: Shape
    steps: tuple[Step, ...]
    logits: Tensor
    affine: bool

    def tops(self, picked: Picked) -> tuple[dict[int, Tensor], Tensor]:
        """Rows ``(N or 1, K', *shape)`` at the values before the last matrices, and the constants passed on the way.

        ``logit[picked] = sum over values of rows . value + constant (N or 1, K')``: gathering rows costs nothing, so
        chosen classes never pay for the others.
        """
        waiting: dict[int, list[Picked]] = {len(self.steps): [picked]}
        rows: dict[int, Tensor] = {}
        constant = torch.zeros_like(picked.factor)
        for index in reversed(range(len(self.steps))):
            for own in waiting.pop(index + 1, []):
                step = self.steps[index]
                if step.constant is not None:
                    constant = constant + _entries(step.constant.to(own.factor.dtype), own)
                for source, piece in step.parts:
                    found = piece.pick(own)
                    if isinstance(found, Picked):
                        waiting.setdefault(source, []).append(found)
                    else:
                        rows[source] = rows[source] + found if source in rows else found
        for own in waiting.pop(0, []):
            rows[0] = rows[0] + own.rows(self.shape) if 0 in rows else own.rows(self.shape)
        return rows, constant

    def work(self, tops: dict[int, Tensor]) -> int:
        """Multiply-adds of one vector through the steps below ``tops``."""
        return sum(piece.work for step in self.steps[: max(tops)] for _, piece in step.parts)

    def pull(self, tops: dict[int, Tensor]) -> Tensor:
        """Rows at the pooled vectors ``(N or 1, K', *shape)``."""
        rows = dict(tops)
        for index in reversed(range(len(self.steps))):
            own = rows.pop(index + 1, None)
            if own is None:
                continue
            for source, piece in self.steps[index].parts:
                found = piece.pull(own)
                rows[source] = rows[source] + found if source in rows else found
        return rows[0]

    def push(self, vectors: Tensor, tops: dict[int, Tensor]) -> Tensor:
        """``(N, M, *shape)`` vectors -> what each gives the chosen logits, ``(N, M, K')``, constants left out."""
        return self._contract(self._values(vectors, constants=False, last=max(tops)), tops)

    def offset(self, remainder: Tensor | None, tops: dict[int, Tensor], constant: Tensor) -> Tensor:
        """The chosen logits of pooled vectors that are ``remainder (N, *shape)`` or zero, through the held pieces."""
        samples = self.logits.shape[0]
        start = constant.new_zeros(samples, *self.shape) if remainder is None else remainder.to(constant.dtype)
        values = self._values(start.unsqueeze(1), constants=True, last=max(tops))
        return self._contract(values, tops)[:, 0] + constant

    def terms(self, vectors: Tensor, tops: dict[int, Tensor]) -> Tensor:
        """Size of what is added up into the chosen logits, ``(N, K')``: the last matrices' terms, all made positive."""
        values = self._values(vectors.unsqueeze(1), constants=True, last=max(tops))
        positive = {source: values[source].abs() for source in tops}
        return self._contract(positive, {source: rows.abs() for source, rows in tops.items()})[:, 0]

    def _values(self, vectors: Tensor, constants: bool, last: int) -> dict[int, Tensor]:
        values = {0: vectors}
        for index, step in enumerate(self.steps[:last]):
            total: Tensor | None = None
            for source, piece in step.parts:
                if source in values:
                    own = piece.push(values[source])
                    total = own if total is None else total + own
            if constants and step.constant is not None and total is not None:
                missing = total.ndim - 1 - step.constant.ndim
                fixed = step.constant.to(total.dtype)
                fixed = fixed.reshape(*(1,) * missing, *fixed.shape).unsqueeze(1)
                total = total + fixed
            if total is not None:
                values[index + 1] = total
        return values

    @staticmethod
    def _contract(values: dict[int, Tensor], tops: dict[int, Tensor]) -> Tensor:
        total: Tensor | None = None
        for source, rows in tops.items():
            own, flat = values[source].flatten(2), rows.flatten(2)
            one = torch.nn.functional.linear(own, flat[0]) if flat.shape[0] == 1 else own @ flat.transpose(1, 2)
            total = one if total is None else total + one
        assert total is not None
        return total


def _entries(constant: Tensor, picked: Picked) -> Tensor:
    """The picked entries of a constant over outputs ``(K,)`` or ``(N or 1, *shape of K)``, times their factor."""
    flat = constant.reshape(1, -1) if constant.ndim < 2 else constant.flatten(1)
    samples = max(flat.shape[0], picked.ids.shape[0])
    ids = picked.ids.expand(samples, -1)
    if flat.shape[1] == 1:
        return flat.expand(samples, 1) * picked.factor
    return flat.expand(samples, -1).gather(1, ids) * picked.factor
