"""The samples an audit looks at: prepared inputs one by one, their classes, and how long it may take."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalpool.audits.finding import DoesNotApplyError
from globalpool.audits.grids import as_tensor
from globalpool.classifier import InputSpec
from globalpool.layout import Padded

Entry = TypeVar("Entry")
#: Why padded samples with a measure cannot be looked at as tensors.
UNEVEN = "needs samples whose positions all count alike; in some of these padding, pauses or uneven slices do not"


@dataclass(frozen=True, eq=False)
class AuditData:
    """N samples and the limits of one audit.

    ``inputs``: what the classifier is called with for each sample, a batch of one: tensors ``(1, C, *S)``, or what
    else the trunk takes (a batch of one graph). ``targets (N,)``: class ids; where ``labelled`` is False they are what
    the classifier itself says of these inputs, and accuracy is agreement with that. ``pictures``: uint8 ``(H, W, 3)``
    from which the inputs were made by ``spec``, where they were; empty otherwise. ``budget``: seconds for one audit;
    ``seed``: of all its chance.
    """

    inputs: tuple[Any, ...]
    targets: Tensor
    labelled: bool
    ids: tuple[str, ...]
    pictures: tuple[NDArray[np.uint8], ...] = ()
    spec: InputSpec | None = None
    budget: float = 60.0
    seed: int = 0

    def __len__(self) -> int:
        return len(self.inputs)

    def generator(self) -> torch.Generator:
        """A new generator that starts at the seed."""
        return torch.Generator().manual_seed(self.seed)

    def tensors(self) -> tuple[Tensor, ...]:
        """The inputs ``(1, C, *S)``, also such that came padded by nothing; DoesNotApplyError for anything else."""
        found = [as_tensor(x) for x in self.inputs]
        if odd := [type(x).__name__ for x, tensor in zip(self.inputs, found, strict=True) if tensor is None]:
            if odd[0] == Padded.__name__:
                raise DoesNotApplyError(UNEVEN)
            raise DoesNotApplyError(f"needs inputs (N, C, *S) on a regular grid; these are {odd[0]}")
        return tuple(tensor for tensor in found if tensor is not None)

    def alike(self, least: int) -> tuple[Tensor, ...]:
        """The tensors of the commonest shape; where they are fewer than ``least``, all, their middles cropped alike."""
        inputs = self.tensors()
        shapes = [x.shape for x in inputs]
        commonest = max(shapes, key=shapes.count)
        found = tuple(x for x in inputs if x.shape == commonest)
        if len(found) >= min(least, len(inputs)):
            return found
        return tuple(middle(x, [min(shape[axis] for shape in shapes) for axis in range(2, x.ndim)]) for x in inputs)

    def batches(self, size: int = 8) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """``x (n, C, *S)``, targets and sample numbers ``(n,)``: up to ``size`` tensors of one shape, in order."""
        groups: dict[tuple[int, ...], list[int]] = {}
        inputs = self.tensors()
        for number, x in enumerate(inputs):
            groups.setdefault(tuple(x.shape), []).append(number)
        for numbers in groups.values():
            for start in range(0, len(numbers), size):
                own = torch.tensor(numbers[start : start + size])
                yield torch.cat([inputs[number] for number in own.tolist()]), self.targets[own], own

    def take(self, numbers: Sequence[int]) -> Self:
        """Some of the samples."""
        return replace(
            self,
            inputs=tuple(self.inputs[number] for number in numbers),
            targets=self.targets[list(numbers)],
            ids=tuple(self.ids[number] for number in numbers),
            pictures=tuple(self.pictures[number] for number in numbers) if self.pictures else (),
        )


def middle(x: Tensor, size: Sequence[int]) -> Tensor:
    """The middle of ``x (1, C, *S)`` of lengths ``size``."""
    for axis, length in enumerate(size, 2):
        x = x.narrow(axis, (x.shape[axis] - length) // 2, length)
    return x


@dataclass
class Clock:
    """Holds an audit to its seconds: work comes in steps, and no step begins that would probably end too late."""

    budget: float
    start: float = field(default_factory=time.perf_counter)
    notes: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.budget - (time.perf_counter() - self.start)

    def within(self, entries: Iterable[Entry], what: str, *, least: int = 2, share: float = 1.0) -> Iterator[Entry]:
        """The entries, as long as the next one fits into ``share`` of what is left; at least ``least``.

        Where it stops early, ``notes`` says how many of ``what`` were looked at.
        """
        end = time.perf_counter() + share * self.left
        longest, listed = 0.0, list(entries)
        for number, entry in enumerate(listed):
            begin = time.perf_counter()
            if number >= least and begin + longest > end:
                self.notes.append(f"{number} of {len(listed)} {what} for lack of time: wider intervals")
                return
            yield entry
            longest = max(longest, time.perf_counter() - begin)
