"""Samples of any kind as prepared batches: every batch one or more parts that the trunk takes."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from globalpool.data.batch import Batch
from globalpool.data.batches import Batches, drawing
from globalpool.data.examples import Example, Examples, class_targets
from globalpool.data.kinds import InputKind
from globalpool.data.sampling import ALONE, InOrder, Rank, SizeBuckets

#: Samples share a batch whose numbers of positions differ by less than this factor: little of it is padding.
ALIKE = 1.25


def kind_training_batches(
    data: Examples,
    indices: Sequence[int],
    inputs: InputKind,
    batch_size: int,
    *,
    seed: int = 0,
    rank: Rank = ALONE,
    workers: int = 0,
) -> Batches:
    """Shuffled anew in each epoch, samples of like length together, augmented as ``inputs`` says; see ``SizeBuckets``.

    Random numbers of a sample depend on ``seed``, epoch and its number alone. ``batch_size`` counts samples of all
    ranks. ``set_epoch`` before each epoch.
    """
    samples = _Samples(data, indices, inputs, seed, training=True)
    keys = [_length(data.examples[index], inputs) for index in samples.indices]
    return Batches(samples, SizeBuckets(keys, batch_size, seed=seed, rank=rank), workers, samples.collate)


def kind_evaluation_batches(
    data: Examples,
    indices: Sequence[int],
    inputs: InputKind,
    batch_size: int,
    *,
    rank: Rank = ALONE,
    workers: int = 0,
) -> Batches:
    """Every sample exactly once over all ranks, by length and number, as it is."""
    samples = _Samples(data, indices, inputs, 0, training=False)
    keys = [_length(data.examples[index], inputs) for index in samples.indices]
    return Batches(samples, InOrder(keys, batch_size, rank=rank), workers, samples.collate)


def _length(example: Example, inputs: InputKind) -> int:
    """Which samples are of like length; graphs have nothing to pad."""
    return 0 if inputs.dims == 0 else round(math.log(max(math.prod(example.size), 1)) / math.log(ALIKE))


class _Samples(Dataset[tuple[int, Any, Tensor]]):
    """By (epoch, position among ``indices``): number in the data, input, target."""

    def __init__(self, data: Examples, indices: Sequence[int], inputs: InputKind, seed: int, *, training: bool) -> None:
        self.data, self.indices, self.inputs, self.seed = data, tuple(indices), inputs, seed
        self.training = training
        self.targets = class_targets(data)

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, Any, Tensor]:
        epoch, position = key
        index = self.indices[position]
        sample = self.inputs.prepare(self.inputs.read(self.data.examples[index].path))
        if self.training:
            with drawing(self.seed, epoch, index):
                sample = self.inputs.augmented(sample)
        return index, sample, self.targets[index]

    def collate(self, samples: list[tuple[int, Any, Tensor]]) -> Batch:
        """One batch."""
        parts = self.inputs.collate([sample for _, sample, _ in samples])
        return Batch(
            parts,
            torch.stack([target for _, _, target in samples]),
            torch.tensor([index for index, _, _ in samples]),
        )
