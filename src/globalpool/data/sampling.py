"""Which samples make up each step, so that a step has few sizes and every rank has its equal share."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from globalpool.errors import DataError


@dataclass(frozen=True)
class Rank:
    """One process of ``count`` that share a job."""

    number: int = 0
    count: int = 1


ALONE = Rank()


class SizeBuckets:
    """The steps of an epoch in training, as lists of positions; a sampler of batches for torch's DataLoader.

    ``keys``: the size at which each sample goes in. ``batch_size``: samples in one step of ALL ranks together, so
    that a step is the same whatever the number of ranks; each rank takes ``batch_size / ranks`` of them.

    Samples lie in line by size and are cut into batches, so that all batches together have at most as many parts of
    one size as there are batches and sizes. Order within a size, and of the batches, depends on ``seed`` and
    ``epoch`` alone. A batch is made smaller by one sample a rank or two where a sample would otherwise be alone with
    its size (a norm by batch statistics needs two), or nearly alone in the last batch. Every sample comes once; only
    to give every rank as many, fewer than ``ranks`` of the last size come twice.
    """

    def __init__(self, keys: Sequence[Hashable], batch_size: int, *, seed: int = 0, rank: Rank = ALONE) -> None:
        check_batch(len(keys), batch_size, rank)
        self.batch_size, self.seed, self.rank = batch_size, seed, rank
        self.epoch, self.first_step = 0, 0
        self._buckets = bucketed(keys)
        self._cuts = _cuts([len(bucket) for bucket in self._buckets], batch_size, rank.count)

    def __len__(self) -> int:
        """Steps in a whole epoch, the same in every one."""
        return len(self._cuts) - 1

    def set_epoch(self, epoch: int, first_step: int = 0) -> None:
        """Which epoch comes next, and at which of its steps: where an interrupted one goes on."""
        if not 0 <= first_step <= len(self):
            raise DataError("set_epoch", f"a step from 0 to {len(self)}", f"{first_step}")
        self.epoch, self.first_step = epoch, first_step

    def __iter__(self) -> Iterator[list[int]]:
        """This rank's samples, step by step."""
        random = np.random.default_rng((self.seed, self.epoch))
        line = [sample for bucket in self._buckets for sample in random.permutation(bucket).tolist()]
        extra = self._cuts[-1] - len(line)
        last = line[len(line) - len(self._buckets[-1]) :]
        line += [last[i % len(last)] for i in range(extra)]
        for step in random.permutation(len(self)).tolist()[self.first_step :]:
            begin, end = self._cuts[step], self._cuts[step + 1]
            own = (end - begin) // self.rank.count
            yield line[begin + self.rank.number * own : begin + (self.rank.number + 1) * own]


class InOrder:
    """Steps of an evaluation: every sample exactly once over all ranks, by size and then by number.

    ``batch_size`` as for ``SizeBuckets``; a rank may have one step fewer than another, or none.
    """

    def __init__(self, keys: Sequence[Hashable], batch_size: int, *, rank: Rank = ALONE) -> None:
        check_batch(len(keys), batch_size, rank)
        line = [sample for bucket in bucketed(keys) for sample in bucket]
        own = batch_size // rank.count
        steps = [line[begin : begin + own] for begin in range(0, len(line), own)]
        self._steps = steps[rank.number :: rank.count]

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[int]]:
        """This rank's samples, step by step."""
        return iter(self._steps)


def check_batch(samples: int, batch_size: int, rank: Rank) -> None:
    """DataError for numbers with which no step can be made."""
    if samples < 1:
        raise DataError("batches", "at least one sample", "none", "Look at `globalpool check` of the data.")
    if not 0 <= rank.number < rank.count:
        raise DataError("batches", f"a rank from 0 to {rank.count - 1}", f"{rank.number}")
    if batch_size < 1 or batch_size % rank.count:
        hint = "It counts the samples of all processes together."
        expected = f"a positive `batch_size` that {rank.count} processes can share equally"
        raise DataError("batches", expected, f"{batch_size}", hint)


def bucketed(keys: Sequence[Hashable]) -> list[list[int]]:
    """Positions of each key, keys in sorted order, positions ascending."""
    order = sorted(range(len(keys)), key=lambda i: (keys[i], i))
    return [list(group) for _, group in groupby(order, key=lambda i: keys[i])]


def _cuts(counts: Sequence[int], batch_size: int, ranks: int) -> list[int]:
    """Where the line of samples is cut into batches, each a multiple of ``ranks``; the last cut may lie beyond."""
    sizes = np.repeat(np.arange(len(counts)), counts)
    total = -(-len(sizes) // ranks) * ranks
    padded = np.append(sizes, np.full(total - len(sizes), len(counts) - 1))
    cuts = [0]
    while cuts[-1] < total:
        begin = cuts[-1]
        most = min(batch_size, total - begin)
        tried = range(most, max(most - 3 * ranks, most // 2, ranks - 1), -ranks)
        cuts.append(begin + min(tried, key=lambda size: _lonely(padded, counts, begin, size, ranks)))
    return cuts


def _lonely(line: np.ndarray, counts: Sequence[int], begin: int, size: int, ranks: int) -> int:
    """Samples that would be alone with their size, in a rank's share of this batch or at the start of the next."""
    share = size // ranks
    found = 0
    for start in range(begin, begin + size, share):
        piece, each = np.unique(line[start : start + share], return_counts=True)
        found += sum(one == 1 and counts[number] > 1 for number, one in zip(piece, each, strict=True))
    rest = line[begin + size :]
    if len(rest):
        found += int(counts[rest[0]] > 1 and (len(rest) == 1 or rest[1] != rest[0]))
        found += int(len(rest) < 2 * ranks)
    return found
