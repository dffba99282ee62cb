"""The same samples in every layout: what the contract of pools is tried on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from globalpool.pools.base import Pool


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample by itself: ``x (1, C, *S)``, its measure ``(1, *S)`` and what else a call with it needs."""

    x: Tensor
    measure: Tensor
    arguments: dict[str, Any] = field(default_factory=dict)


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
        made.append(Sample((x if number else x.abs() + 0.1).to(dtype), measure.to(dtype), needed(pool, shape, number)))
    return made


def needed(pool: Pool, shape: Sequence[int], number: int = 0) -> dict[str, Tensor]:
    """What a call with one sample of that shape needs: three clusters, the second one empty in the sample 1."""
    if not pool.needs_assignment:
        return {}
    cluster = torch.arange(prod(shape)).reshape(1, *shape) * 7 % 3
    return {"assignment": torch.where(cluster == 1, 2, cluster) if number == 1 else cluster}


def batches(pool: Pool, channels: int, axes: int, dtype: torch.dtype, seed: int = 0) -> Iterator[Batch]:
    """The same samples in every layout, measured and not; what is absent holds NaN or Inf."""
    made = samples(pool, channels, axes, dtype, seed)
    yield from _batches(pool, made, axes)
    if pool.needs_assignment:
        yield from _batches(pool, [_shared_out(sample) for sample in made], axes)


def _shared_out(sample: Sample) -> Sample:
    """The same sample with shares of three clusters that differ from position to position, some of them 0."""
    number = sample.arguments["assignment"].unsqueeze(1) + torch.arange(3).reshape(1, 3, *(1,) * (sample.x.ndim - 2))
    return replace(sample, arguments={"assignment": torch.tensor([0.0, 0.3, 1.0]).to(sample.x)[number % 3]})


def _batches(pool: Pool, made: list[Sample], axes: int) -> Iterator[Batch]:
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

    def also(join: Callable[[list[Tensor]], Tensor], given: list[Sample] = made) -> dict[str, Tensor]:
        """The other arguments of the samples, joined: cluster numbers as they are, shares like the features."""
        return {name: join([sample.arguments[name] for sample in given]) for name in given[0].arguments}

    def numbers(fill: Callable[[list[Tensor]], Tensor], whole: Callable[[list[Tensor]], Tensor]) -> dict[str, Tensor]:
        soft = any(value.is_floating_point() for sample in made for value in sample.arguments.values())
        return also(whole if soft else fill)

    def flat(parts: list[Tensor]) -> Tensor:
        return torch.cat([part.flatten() for part in parts])

    measure = padded(0.0)([sample.measure for sample in made])
    flat_measure = flat([sample.measure for sample in made])
    uniform = [replace(sample, measure=torch.ones_like(sample.measure)) for sample in made]
    nan, inf, absent = padded(float("nan")), padded(float("inf")), padded(-7)
    last = _channels_last(nan)
    canvases, in_rows = numbers(absent, nan), numbers(flat, rows)
    yield Batch("dense", [uniform[0]] * 2, torch.cat, also(torch.cat, [uniform[0]] * 2))
    yield Batch("padded, sizes", uniform, nan, {"sizes": extents, **canvases})
    yield Batch("padded, mask", uniform, inf, {"mask": measure > 0, **canvases})
    yield Batch("padded, measure", made, nan, {"mask": measure, "sizes": extents, **canvases})
    yield Batch("channels last", uniform, last, {"sizes": extents, "channel_dim": -1, **numbers(absent, last)})
    if axes == 1:
        yield Batch("lengths", uniform, nan, {"lengths": extents[:, 0], **canvases})
    yield Batch("ragged, ptr", uniform, rows, {"ptr": ptr, "shapes": extents, **in_rows})
    batch = torch.repeat_interleave(torch.arange(len(made)), counts)
    ragged = {"batch": batch, "size": 3, "shapes": extents, "mask": flat_measure}
    yield Batch("ragged, measure", made, rows, {**ragged, **in_rows})


def _channels_last(join: Callable[[list[Tensor]], Tensor]) -> Callable[[list[Tensor]], Tensor]:
    return lambda parts: join(parts).movedim(1, -1)
