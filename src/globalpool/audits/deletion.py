"""Positions removed one after the other: what the logits say while they go (Samek et al., 2017; RISE, 2018).

Removed at the map: the features become 0 and the position still counts, which takes away exactly its evidence where
that is linear. Removed at the input: the pixels below the position become the mean of their channel. Insertion in one
order is deletion in the reverse, read from its end, so that one curve tells both.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from globalpool.audits.deciding import difference, without
from globalpool.audits.grids import as_tensor, like
from globalpool.audits.opened import Opened
from globalpool.classifier import PooledClassifier
from globalpool.evidence import Evidence

#: Shares of the positions that are gone, at most; of fewer positions each one is a step.
STEPS = tuple(step / 10 for step in range(11))
ORDERS = ("evidence", "random", "reversed")


@dataclass(frozen=True, eq=False)
class Curves:
    """``measured (3, S)``: the difference of two logits in the order of ORDERS, ``predicted (3, S)`` by the evidence.

    ``predicted`` is None at the input. The first column has everything, the last nothing.
    """

    measured: Tensor
    predicted: Tensor | None

    def areas(self) -> Tensor:
        """The mean of each curve over the share that is gone ``(3,)``, by the trapezoid rule, in logits."""
        return torch.trapezoid(self.measured, torch.tensor(STEPS, dtype=torch.float64), dim=1)


def orders(evidence: Tensor, generator: torch.Generator) -> Tensor:
    """``(3, P)``: positions by evidence ``(P,)``, largest first; at random; smallest first."""
    down = evidence.argsort(descending=True, stable=True)
    return torch.stack([down, torch.randperm(len(evidence), generator=generator).to(down), down.flip(0)])


def gone(order: Tensor) -> list[Tensor]:
    """For each step which of the positions ``(P,)`` have gone, bool."""
    masks = []
    for step in STEPS:
        mask = torch.zeros(len(order), dtype=torch.bool)
        mask[order[: round(step * len(order))].cpu()] = True
        masks.append(mask)
    return masks


def at_map(at: Opened, evidence: Evidence, own: Tensor, by: Tensor) -> Curves:
    """At the feature map of one sample, whose evidence is ``own (P,)``, in the orders ``by (3, P)``."""
    full = difference(at.logits(), evidence)
    rows, predicted = [], []
    for order in by:
        masks = gone(order)
        rows.append(torch.cat([difference(without(at, mask), evidence) for mask in masks]))
        predicted.append(torch.cat([full - own[mask.to(own.device)].sum() for mask in masks]))
    return Curves(torch.stack(rows).cpu(), torch.stack(predicted).cpu())


def at_input(classifier: PooledClassifier, x: Any, evidence: Evidence, by: Tensor) -> Curves:
    """At one input, a full grid ``(1, C, *S)``, below the positions of its dense evidence."""
    shape, pixels = evidence.maps.shape[2:], as_tensor(x)
    assert pixels is not None, "the caller has looked"
    mean = pixels.mean(tuple(range(2, pixels.ndim)), keepdim=True)
    rows = []
    for order in by:
        variants = []
        for mask in gone(order):
            below = interpolate(mask.reshape(1, 1, *shape).float(), pixels.shape[2:], mode="nearest") > 0
            variants.append(torch.where(below.to(pixels.device), mean, pixels))
        rows.append(difference(classifier(like(x, torch.cat(variants))), evidence))
    return Curves(torch.stack(rows).cpu(), None)
