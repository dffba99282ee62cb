"""What trunks take beside a tensor, and what they give when they know where their positions are."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from globalpool.errors import LayoutError
from globalpool.layout.base import LayoutArguments


@dataclass(frozen=True, eq=False)
class Features:
    """Features with the places of their positions.

    ``values``: dense ``(N, C, *S)`` or ragged ``(T, C)``; ``layout``: the arguments of a pool's call that say where the
    positions are, as ``{"mask": ...}`` or ``{"batch": ..., "size": N}``.
    """

    values: Tensor
    layout: LayoutArguments


@dataclass(frozen=True, eq=False)
class Padded:
    """Samples of several sizes in one tensor, each in the corner where its indices begin.

    ``values (N, C, *S)``, zero beyond each sample's own extent; ``sizes (N, D)`` int64: the extents; ``measure
    (N, *S)``: how much each input position counts (the volume of a voxel), 0 where there is nothing; None: one each.
    """

    values: Tensor
    sizes: Tensor
    measure: Tensor | None = None

    def __post_init__(self) -> None:
        dims = self.values.ndim - 2
        if dims < 1 or self.sizes.shape != (self.values.shape[0], dims):
            expected = "sizes (N, D) beside values (N, C, *S) with D spatial axes"
            raise LayoutError("Padded", expected, f"{tuple(self.sizes.shape)} beside {tuple(self.values.shape)}")
        if self.measure is not None and self.measure.shape != (self.values.shape[0], *self.values.shape[2:]):
            expected = f"a measure {(self.values.shape[0], *self.values.shape[2:])}, as the values without channels"
            raise LayoutError("Padded", expected, f"{tuple(self.measure.shape)}")

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, samples: "list[Tensor] | tuple[Tensor, ...]", measures: "list[Tensor] | None" = None) -> Self:
        """Samples ``(C, *S)`` of any sizes, and their measures ``(*S)``, as one batch."""
        if not samples or len({(one.ndim, one.shape[0]) for one in samples}) > 1:
            got = ", ".join(str(tuple(one.shape)) for one in samples[:3]) or "none"
            raise LayoutError("Padded.of", "one or more samples (C, *S) with as many channels and axes", got)
        sizes = torch.tensor([tuple(one.shape[1:]) for one in samples])
        largest = tuple(sizes.amax(0).tolist())
        values = samples[0].new_zeros(len(samples), samples[0].shape[0], *largest)
        measure = None if measures is None else measures[0].new_zeros(len(samples), *largest)
        for number, one in enumerate(samples):
            corner = tuple(slice(length) for length in one.shape[1:])
            values[number][(slice(None), *corner)] = one
            if measure is not None and measures is not None:
                measure[number][corner] = measures[number]
        return cls(values, sizes, measure)

    def to(self, target: torch.device | torch.dtype | str) -> Self:
        """The same batch on a device, or its numbers in a dtype."""
        values = self.values.to(target)
        measure = None if self.measure is None else self.measure.to(target)
        return type(self)(values, self.sizes.to(values.device), measure)


def inside(sizes: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Which positions of a canvas of ``shape`` lie within each sample's own ``sizes (N, D)``: bool ``(N, *shape)``."""
    found = torch.ones(len(sizes), *shape, dtype=torch.bool, device=sizes.device)
    for axis, length in enumerate(shape):
        own = torch.arange(length, device=sizes.device) < sizes[:, axis, None]
        found &= own.reshape(len(sizes), *(length if other == axis else 1 for other in range(len(shape))))
    return found
