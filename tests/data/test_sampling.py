"""Every sample its turn, equal shares for every rank, few sizes in a step."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from globalpool.data import InOrder, Rank, SizeBuckets
from globalpool.errors import DataError

COUNTS = st.lists(st.integers(1, 25), min_size=1, max_size=6)


def keys(counts: list[int]) -> list[tuple[int, int]]:
    line = [(8 * (size + 1), 8) for size, count in enumerate(counts) for _ in range(count)]
    return [line[i] for i in np.random.default_rng(0).permutation(len(line))]


def together(sizes: list[tuple[int, int]], batch: int, ranks: int, epoch: int = 0) -> list[list[list[int]]]:
    """For each step the samples of each rank."""
    found = []
    for number in range(ranks):
        sampler = SizeBuckets(sizes, batch, seed=3, rank=Rank(number, ranks))
        sampler.set_epoch(epoch)
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    return [list(step) for step in zip(*found, strict=True)]


@settings(max_examples=80, deadline=None)
@given(COUNTS, st.integers(1, 12), st.integers(1, 4), st.integers(0, 3))
def test_every_sample_once_and_equal_shares(counts: list[int], share: int, ranks: int, epoch: int) -> None:
    sizes = keys(counts)
    steps = together(sizes, share * ranks, ranks, epoch)
    seen = Counter(sample for step in steps for mine in step for sample in mine)
    assert set(seen) == set(range(len(sizes)))
    assert sum(seen.values()) - len(sizes) == -len(sizes) % ranks
    assert all(len(mine) == len(step[0]) <= share for step in steps for mine in step)
    parts = sum(len({sizes[i] for mine in step for i in mine}) for step in steps)
    assert parts <= len(steps) + len(counts) - 1, "as few parts as batches and sizes"
    assert len(steps) == len(together(sizes, share * ranks, ranks, epoch + 1)), "as many steps in every epoch"


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(4, 40), min_size=1, max_size=6), st.integers(8, 20))
def test_no_sample_is_alone_with_its_size_where_that_can_be_avoided(counts: list[int], batch: int) -> None:
    sizes = keys(counts)
    for step in together(sizes, batch, 1):
        assert min(Counter(sizes[i] for i in step[0]).values()) >= 2
    assert len(together(sizes, batch, 1)) <= -(-len(sizes) // (batch - 2)) + 1


def test_order_depends_on_seed_and_epoch_alone() -> None:
    sizes = keys([20, 30, 7])
    torch.manual_seed(0)
    state = torch.get_rng_state()
    sampler = SizeBuckets(sizes, 8, seed=1)
    first = list(sampler)
    np.random.seed(5)  # noqa: NPY002 -- the global state must not matter
    assert list(sampler) == first
    sampler.set_epoch(1)
    second = list(sampler)
    assert second != first
    assert list(SizeBuckets(sizes, 8, seed=2)) != first
    assert torch.equal(torch.get_rng_state(), state)
    for step in range(len(sampler) + 1):
        sampler.set_epoch(1, step)
        assert list(sampler) == second[step:], "goes on where it was interrupted"


def test_both_the_order_of_batches_and_their_content_change() -> None:
    sizes = keys([40, 40])
    sampler = SizeBuckets(sizes, 8)
    epochs = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    assert len({tuple(sizes[step[0]] for step in steps) for steps in epochs}) > 1
    assert len({frozenset(step) for steps in epochs for step in steps}) == 40


def test_a_step_is_the_same_for_any_number_of_ranks() -> None:
    sizes = keys([24, 48])
    alone = [step[0] for step in together(sizes, 12, 1)]
    for ranks in (2, 3, 4, 6):
        assert [list(chain(*step)) for step in together(sizes, 12, ranks)] == alone


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.integers(1, 12), st.integers(1, 4))
def test_an_evaluation_sees_each_sample_exactly_once(counts: list[int], share: int, ranks: int) -> None:
    sizes = keys(counts)
    samplers = [InOrder(sizes, share * ranks, rank=Rank(number, ranks)) for number in range(ranks)]
    seen = [sample for sampler in samplers for step in sampler for sample in step]
    assert sorted(seen) == list(range(len(sizes)))
    assert max(map(len, samplers)) - min(map(len, samplers)) <= 1
    assert all(len(step) <= share for sampler in samplers for step in sampler)
    line = [sample for step in InOrder(sizes, share) for sample in step]
    assert line == sorted(line, key=lambda i: (sizes[i], i))


def test_numbers_that_cannot_be() -> None:
    with pytest.raises(DataError, match=r"that 3 processes can share equally; got 8\. It counts the samples of all"):
        SizeBuckets([(8, 8)] * 9, 8, rank=Rank(0, 3))
    with pytest.raises(DataError, match="batches: expected at least one sample; got none"):
        InOrder([], 8)
    with pytest.raises(DataError, match="batches: expected a rank from 0 to 1; got 2"):
        InOrder([(8, 8)], 8, rank=Rank(2, 2))
    with pytest.raises(DataError, match="set_epoch: expected a step from 0 to 1; got 2"):
        SizeBuckets([(8, 8)], 8).set_epoch(0, 2)
