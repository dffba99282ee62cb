"""The data of one client at its own resolution: a folder, or its share of the packaged digits."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from globalpool.classifier import InputSpec
from globalpool.data import (
    FileSource,
    Fixed,
    Native,
    evaluation_batches,
    read_examples,
    split_examples,
    training_batches,
)
from globalpool.data.batch import Batch
from globalpool.data.canvas_digits import canvas_digits
from globalpool.data.kind_batches import kind_evaluation_batches, kind_training_batches
from globalpool.data.mnist import mnist_digits, split_sources
from globalpool.errors import FederatedError
from globalpool.training import Architecture, Batches

#: Digits of one simulated client, and those it judges on.
OWN, JUDGED = 800, 200


@dataclass(frozen=True, eq=False)
class Node:
    """One client's samples.

    ``classes``: names in the order of the ids; ``resolution``: by which accuracies are told; ``samples``: to train
    on. ``in_order``: the training samples, each once and as they are.
    """

    classes: tuple[str, ...]
    resolution: int
    samples: int
    training: Batches
    in_order: Batches
    judged: Batches


def folder_node(data: str, architecture: Architecture, resolution: int, batch: int, seed: int) -> Node:
    """Files of a folder or table, of the architecture's kind; pictures are resized to ``resolution`` (0: as they are).

    For other kinds ``resolution`` is a name alone: their samples stay as long as they are. A fifth of each class is
    held out to judge on, unless the data say what.
    """
    inputs = architecture.input
    if isinstance(inputs, InputSpec):
        examples = read_examples(data)
        split = split_examples(examples, validation=0, test=0.2)
        sizes = Fixed(resolution) if resolution else Native()
        source = FileSource(examples)
        return Node(
            examples.classes,
            resolution,
            len(split.train),
            training_batches(source, split.train, inputs, sizes, batch, seed=seed),
            evaluation_batches(source, split.train, inputs, sizes, batch),
            evaluation_batches(source, split.test, inputs, sizes, batch),
        )
    examples = read_examples(data, type(inputs))
    split = split_examples(examples, validation=0, test=0.2)
    return Node(
        examples.classes,
        resolution,
        len(split.train),
        kind_training_batches(examples, split.train, inputs, batch, seed=seed),
        kind_evaluation_batches(examples, split.train, inputs, batch),
        kind_evaluation_batches(examples, split.test, inputs, batch),
    )


@cache
def digits_node(number: int, clients: int, resolution: int, batch: int, seed: int) -> Node:
    """Packaged digits on canvases of ``resolution`` pixels: 800 to train on that no other client has, 200 to judge.

    Class shares differ: of each client's classes (every ``clients``-th digit is its own) half stay with it, all else
    is dealt evenly. The judged digits are of the held-out split, the same for all clients but for their size.
    """
    if not 0 <= number < clients:
        raise FederatedError("digits", f"a client from 0 to {clients - 1}", f"{number}")
    rows, (_, classes) = split_sources("train"), mnist_digits()
    random = np.random.default_rng((seed, 7))
    owner = np.where(random.random(len(rows)) < 0.5, classes[rows] % clients, random.integers(clients, size=len(rows)))
    mine = set(rows[owner == number].tolist())
    made = canvas_digits(seed, (resolution,), split="train", fragments=0)
    kept = [place for place, source in enumerate(made.sources.tolist()) if source in mine][:OWN]
    held_out = canvas_digits(seed, (resolution,), split="test", count=JUDGED, fragments=0)
    own = _stacked(made.pictures, made.labels, kept)
    other = _stacked(held_out.pictures, held_out.labels, range(JUDGED))
    names = tuple(map(str, range(10)))
    in_order = Tensors(*own, batch, None)
    return Node(names, resolution, len(kept), Tensors(*own, batch, seed), in_order, Tensors(*other, 50, None))


class Tensors:
    """Pictures ``(N, 1, H, W)`` and class ids in batches, shuffled by seed and epoch, or in order (seed None)."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, size: int, seed: int | None) -> None:
        self.x, self.y, self.size, self.seed, self.epoch = x, y, size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order that comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.y) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        order = np.arange(len(self.y))
        if self.seed is not None:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        for rows in torch.from_numpy(order).split(self.size):
            yield Batch((self.x[rows],), self.y[rows], rows)


def _stacked(pictures, labels, rows) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[no-untyped-def]
    x = torch.from_numpy(np.stack([pictures[row] for row in rows])[:, None]).float() / 127.5 - 1
    return x, torch.from_numpy(labels[list(rows)])
