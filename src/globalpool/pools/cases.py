"""The same samples in every layout: what the contract of pools is tried on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from globalpool.pools.base import Pool


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample by itself: ``x (1, C, *S)`` and its measure ``(1, *S)``."""

    x: Tensor
    measure: Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples in one layout: ``join`` puts their features where the call ``pool(x, **arguments)`` wants them."""

    name: str
    samples: list[Sample]
    join: Callable[[list[Tensor]], Tensor]
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def x(self) -> Tensor:
        return self.join([sample.x for sample in self.samples])


def samples(pool: Pool, channels: int, axes: int, dtype: torch.dtype, seed: int = 0) -> list[Sample]:
    """Three samples of different extents, equally long on the axes the pool keeps; half positive, half signed."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [[4, 2, 3][:axes], [3, 4, 2][:axes], [2, 3, 4][:axes]]
    if pool.dim is not None:
        reduced = {entry - 2 if entry >= 0 else axes + entry for entry in pool.dim}
        shapes = [[side if axis in reduced else 3 for axis, side in enumerate(shape)] for shape in shapes]
    made = []
    for number, shape in enumerate(shapes):
        x = torch.randn(1, channels, *shape, generator=generator, dtype=torch.float64)
        measure = 0.25 + torch.rand(1, *shape, generator=generator, dtype=torch.float64)
        made.append(Sample((x if number else x.abs() + 0.1).to(dtype), measure.to(dtype)))
    return made


def batches(pool: Pool, channels: int, axes: int, dtype: torch.dtype, seed: int = 0) -> Iterator[Batch]:
    """The same samples in every layout, measured and not; what is absent holds NaN or Inf."""
    made = samples(pool, channels, axes, dtype, seed)
    extents = torch.tensor([sample.x.shape[2:] for sample in made])
    canvas = [int(side) + (pool.dim is None) for side in extents.amax(0)]
    counts = extents.prod(1)
    ptr = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])

    def padded(filler: float) -> Callable[[list[Tensor]], Tensor]:
        def join(parts: list[Tensor]) -> Tensor:
            whole = parts[0].new_full((len(parts), *parts[0].shape[1 : parts[0].ndim - axes], *canvas), filler)
            for sample, part in enumerate(parts):
                corner: Any = (sample, ..., *(slice(side) for side in part.shape[-axes:]))
                whole[corner] = part[0]
            return whole

        return join

    def rows(parts: list[Tensor]) -> Tensor:
        return torch.cat([part[0].movedim(0, -1).flatten(0, -2) for part in parts])

    measure = padded(0.0)([sample.measure for sample in made])
    flat_measure = torch.cat([sample.measure.flatten() for sample in made])
    uniform = [Sample(sample.x, torch.ones_like(sample.measure)) for sample in made]
    yield Batch("dense", [uniform[0]] * 2, lambda parts: torch.cat(parts))
    yield Batch("padded, sizes", uniform, padded(float("nan")), {"sizes": extents})
    yield Batch("padded, mask", uniform, padded(float("inf")), {"mask": measure > 0})
    yield Batch("padded, measure", made, padded(float("nan")), {"mask": measure, "sizes": extents})
    last = padded(float("nan"))
    yield Batch(
        "channels last", uniform, lambda parts: last(parts).movedim(1, -1), {"sizes": extents, "channel_dim": -1}
    )
    if axes == 1:
        yield Batch("lengths", uniform, padded(float("nan")), {"lengths": extents[:, 0]})
    yield Batch("ragged, ptr", uniform, rows, {"ptr": ptr, "shapes": extents})
    batch = torch.repeat_interleave(torch.arange(len(made)), counts)
    yield Batch("ragged, measure", made, rows, {"batch": batch, "size": 3, "shapes": extents, "mask": flat_measure})
