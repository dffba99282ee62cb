"""The sufficient statistics of a linear head as one vector that adds up: what secure aggregation can sum."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from globalpool.errors import FederatedError
from globalpool.surgery import HeadStatistics


@dataclass(frozen=True, eq=False)
class AdditiveStatistics:
    """``numbers``: one float64 vector a client; the statistics of all clients are read off the plain sum of them.

    Counts, sums and products of ``x - reference (F,)`` and of targets ``(K,)``: F(F+1)/2 + F (K + 1) + 3 K + 1 numbers,
    whatever the number of samples and their resolution. Whoever sums need not see any client's part. ``reference`` is
    the same for all clients and near the features' mean, as one client's or a public set's: products about a far
    point lose the digits that ill-conditioned features need (``HeadStatistics`` itself, which needs no reference, is
    not additive). ``ids``: targets are class ids.
    """

    numbers: Tensor
    reference: Tensor
    outputs: int
    ids: bool = True

    @classmethod
    def of(cls, statistics: HeadStatistics, reference: Tensor) -> Self:
        """The upload of one client; ``statistics`` with centre "mean", as ``surgery.collect`` gives them."""
        if statistics.centre != "mean" or reference.shape != statistics.mean.shape:
            got = f"centre {statistics.centre}, {tuple(reference.shape)} for {tuple(statistics.mean.shape)}"
            raise FederatedError("AdditiveStatistics", 'centre "mean" and a reference of the same features', got)
        count, target = statistics.count, statistics.target_mean
        moved = statistics.mean - reference.double()
        scatter = statistics.scatter + count * torch.outer(moved, moved)
        cross = statistics.cross + count * torch.outer(moved, target)
        ids = statistics.class_counts is not None
        counts = torch.zeros_like(target) if statistics.class_counts is None else statistics.class_counts.double()
        upper = torch.triu_indices(len(moved), len(moved), device=moved.device)
        numbers = torch.cat(
            [
                torch.tensor([float(count)], dtype=torch.float64, device=moved.device),
                count * moved,
                count * target,
                statistics.target_scatter + count * target.square(),
                counts,
                cross.flatten(),
                scatter[upper[0], upper[1]],
            ]
        )
        return cls(numbers, reference.double(), len(target), ids)

    def __add__(self, other: "AdditiveStatistics") -> "AdditiveStatistics":
        mine, theirs = (self.outputs, self.ids), (other.outputs, other.ids)
        if mine != theirs or not torch.equal(self.reference, other.reference):
            hint = "All clients take the reference the server sent."
            raise FederatedError(
                "AdditiveStatistics", "parts about the same reference, of the same outputs", "others", hint
            )
        return AdditiveStatistics(self.numbers + other.numbers, self.reference, self.outputs, self.ids)

    def __radd__(self, other: int) -> "AdditiveStatistics":
        """``sum(parts)`` begins with 0."""
        return self if other == 0 else NotImplemented

    def statistics(self) -> HeadStatistics:
        """The statistics of all samples summed so far, for ``fit_head``."""
        features, k = len(self.reference), self.outputs
        lengths = (1, features, k, k, k, features * k, features * (features + 1) // 2)
        if len(self.numbers) != sum(lengths):
            got = f"{len(self.numbers)} numbers for {sum(lengths)}"
            raise FederatedError("AdditiveStatistics", f"a sum for {features} features and {k} outputs", got)
        total, moved, target, squares, counts, cross, upper = self.numbers.split(lengths)
        count = round(float(total))
        if not bool(self.numbers.isfinite().all()) or count < 1 or abs(float(total) - count) > 1e-6:
            hint = "Leave out the client whose numbers are not finite; do not scale the sum."
            raise FederatedError("AdditiveStatistics", "finite sums over one sample or more", "others", hint)
        moved, target = moved / count, target / count
        scatter = torch.zeros(features, features, dtype=torch.float64, device=moved.device)
        rows, columns = torch.triu_indices(features, features, device=moved.device)
        scatter[rows, columns] = upper
        scatter[columns, rows] = upper
        return HeadStatistics(
            count,
            self.reference + moved,
            scatter - count * torch.outer(moved, moved),
            target,
            cross.reshape(features, k) - count * torch.outer(moved, target),
            squares - count * target.square(),
            counts.round().long() if self.ids else None,
        )

    @property
    def bytes(self) -> int:
        """What one client sends."""
        return self.numbers.numel() * self.numbers.element_size()
