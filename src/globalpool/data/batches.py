"""Pictures as prepared batches of mixed sizes, the same for any number of workers and after any interruption."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from globalpool.classifier import InputSpec
from globalpool.data.batch import Batch
from globalpool.data.buckets import SizePolicy
from globalpool.data.prepare import normalized, resized
from globalpool.data.sampling import ALONE, InOrder, Rank, SizeBuckets
from globalpool.data.sources import Source
from globalpool.errors import DataError

#: From uint8 ``(3, H, W)`` to the same shape, drawing from torch's global CPU generator alone.
Augment = Callable[[Tensor], Tensor]


class Batches:
    """An iterable of ``Batch``, prepared by ``spec``; ``len()`` is its number of steps (on this rank).

    ``batch.indices`` number the source's pictures. Made by ``training_batches`` and ``evaluation_batches``.
    """

    def __init__(
        self,
        samples: Dataset[Any],
        sampler: SizeBuckets | InOrder,
        workers: int,
        collate: Callable[[list[Any]], Batch] | None = None,
    ) -> None:
        self.sampler = sampler
        # A generator of its own: DataLoader draws from the global one otherwise, and training could not go on
        # after an interruption as if there had been none.
        self._loader: DataLoader[Any] = DataLoader(
            samples,
            batch_sampler=_Keyed(sampler),
            collate_fn=_collate if collate is None else collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._loader)

    def set_epoch(self, epoch: int, first_step: int = 0) -> None:
        """Order and augmentation of the next epoch, from one of its steps on; nothing to set in an evaluation."""
        if isinstance(self.sampler, SizeBuckets):
            self.sampler.set_epoch(epoch, first_step)


def training_batches(
    source: Source,
    indices: Sequence[int],
    spec: InputSpec,
    sizes: SizePolicy,
    batch_size: int,
    *,
    seed: int = 0,
    augment: Augment | None = None,
    rank: Rank = ALONE,
    workers: int = 0,
) -> Batches:
    """Shuffled anew in each epoch, as ``SizeBuckets`` says; ``set_epoch`` before each.

    Each picture is resized as ``sizes`` says, then augmented by ``augment`` with random numbers that depend on
    ``seed``, epoch and the picture's number alone, then normalised. ``batch_size`` counts samples of all ranks.
    """
    pictures = _Prepared(source, indices, spec, sizes, augment, seed)
    return Batches(pictures, SizeBuckets(pictures.sizes, batch_size, seed=seed, rank=rank), workers)


def evaluation_batches(
    source: Source,
    indices: Sequence[int],
    spec: InputSpec,
    sizes: SizePolicy,
    batch_size: int,
    *,
    rank: Rank = ALONE,
    workers: int = 0,
) -> Batches:
    """Every picture exactly once over all ranks, as ``InOrder`` says, without augmentation."""
    pictures = _Prepared(source, indices, spec, sizes, None, 0)
    return Batches(pictures, InOrder(pictures.sizes, batch_size, rank=rank), workers)


class _Prepared(Dataset[tuple[int, Tensor, Tensor]]):
    """By (epoch, position among ``indices``): number in the source, input ``(C, H, W)``, target."""

    def __init__(
        self,
        source: Source,
        indices: Sequence[int],
        spec: InputSpec,
        sizes: SizePolicy,
        augment: Augment | None,
        seed: int,
    ) -> None:
        self.source, self.indices, self.spec, self.augment, self.seed = source, tuple(indices), spec, augment, seed
        policy = {size: sizes(size) for size in {source.sizes[i] for i in self.indices}}
        self.sizes = [policy[source.sizes[i]] for i in self.indices]

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, Tensor, Tensor]:
        epoch, position = key
        index = self.indices[position]
        pixels = resized(self.source.picture(index), self.sizes[position])
        if self.augment is not None:
            pixels = self._augmented(self.augment, pixels, epoch, index)
        return index, normalized(pixels, self.spec), self.source.targets[index]

    def _augmented(self, augment: Augment, pixels: np.ndarray, epoch: int, index: int) -> np.ndarray:
        given = torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()
        with drawing(self.seed, epoch, index):
            changed = augment(given)
        if changed.shape != given.shape or changed.dtype != torch.uint8:
            expected = f"an augmentation that keeps uint8 {tuple(given.shape)}"
            got = f"{str(changed.dtype).removeprefix('torch.')} {tuple(changed.shape)}"
            raise DataError("training_batches", expected, got, "Sizes are chosen by the size policy, before it.")
        return changed.permute(1, 2, 0).contiguous().numpy()


@contextmanager
def drawing(seed: int, epoch: int, index: int) -> Iterator[None]:
    """Torch's global CPU generator set by these three numbers for the block, and given back."""
    state = np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(state[0] >> 1))
        yield


class _Keyed:
    """The steps of a sampler, each sample with its epoch: workers see no other sign of it."""

    def __init__(self, sampler: SizeBuckets | InOrder) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.sampler.epoch if isinstance(self.sampler, SizeBuckets) else 0
        for step in self.sampler:
            yield [(epoch, position) for position in step]


def _collate(samples: list[tuple[int, Tensor, Tensor]]) -> Batch:
    """Samples of one size into a part, in the order in which sizes first appear."""
    parts: dict[tuple[int, ...], list[tuple[int, Tensor, Tensor]]] = {}
    for sample in samples:
        parts.setdefault(tuple(sample[1].shape), []).append(sample)
    ordered = [sample for part in parts.values() for sample in part]
    return Batch(
        tuple(torch.stack([x for _, x, _ in part]) for part in parts.values()),
        torch.stack([target for _, _, target in ordered]),
        torch.tensor([index for index, _, _ in ordered]),
    )
