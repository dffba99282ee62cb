"""Statistics of parts add up to those of the whole, and grow with no sample."""

import gc
import pickle
import re
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from globalpool.errors import PoolError
from globalpool.surgery import HeadStatistics, collect, fit_head
from tests.surgery.slow import (
    classifier,
    distance,
    ill_conditioned,
    in_batches,
    layer_of,
    one_hot,
    ridge,
    samples,
    stacked,
)

TENSORS = ("mean", "scatter", "target_mean", "cross", "target_scatter")


def assert_same(a: HeadStatistics, b: HeadStatistics) -> None:
    assert a.count == b.count
    assert torch.equal(a.class_counts, b.class_counts)  # type: ignore[arg-type]
    for name in TENSORS:
        got, want = getattr(a, name), getattr(b, name)
        assert (got - want).abs().max() <= 1e-10 * want.abs().max(), name
    # Entry by entry, in units of the two features it is about.
    size = b.scatter.diagonal().sqrt()
    assert ((a.scatter - b.scatter) / torch.outer(size, size)).abs().max() <= 1e-10
    assert ((a.cross - b.cross) / torch.outer(size, b.target_scatter.sqrt())).abs().max() <= 1e-10


def test_every_number_by_hand() -> None:
    x, y = samples(60, 5, 3)
    statistics = collect(classifier(5, 3), in_batches(x, y, 7))
    vectors, targets = stacked(x), one_hot(y, 3)
    centred, target_centred = vectors - vectors.mean(0), targets - targets.mean(0)
    assert statistics.count == 60
    assert statistics.centre == "mean"
    assert statistics.class_counts is not None
    assert statistics.class_counts.tolist() == targets.sum(0).tolist()
    expected = {
        "mean": vectors.mean(0),
        "scatter": centred.T @ centred,
        "target_mean": targets.mean(0),
        "cross": centred.T @ target_centred,
        "target_scatter": (target_centred**2).sum(0),
    }
    for name, want in expected.items():
        assert distance(getattr(statistics, name).numpy(), want) <= 1e-13, name
    about_zero = statistics.about_zero()
    assert about_zero.centre == "zero"
    assert distance(about_zero.scatter.numpy(), vectors.T @ vectors) <= 1e-13
    assert distance(about_zero.cross.numpy(), vectors.T @ targets) <= 1e-13
    assert distance(about_zero.target_scatter.numpy(), targets.sum(0)) <= 1e-13
    assert not about_zero.mean.any()
    assert not about_zero.target_mean.any()


@pytest.mark.parametrize("cuts", [[0, 200], [0, 1, 2, 200], [0, 50, 51, 120, 199, 200], list(range(201))])
@pytest.mark.parametrize("conditioned", [True, False])
def test_shards_add_up_to_the_whole(cuts: list[int], conditioned: bool) -> None:
    x, y = samples(200, 6, 4)
    x = x if conditioned else ill_conditioned(x, constant=0.01)
    model = classifier(6, 4)
    whole = collect(model, [(x, y)])
    parts = [collect(model, [(x[a:b], y[a:b])]) for a, b in pairwise(cuts)]
    assert_same(sum(parts), whole)  # type: ignore[arg-type]
    assert_same(sum(reversed(parts)), whole)  # type: ignore[arg-type]
    middle = len(parts) // 2 or 1
    if parts[middle:]:
        assert_same(sum(parts[:middle]) + sum(parts[middle:]), whole)  # type: ignore[operator, arg-type]


def test_shards_that_lack_classes_fit_together() -> None:
    """Federated clients, one class each: the sum is fitted like the whole, by a number or by gcv, and is picklable."""
    x, y = samples(60, 5, 3)
    clients = [collect(classifier(5, 3), in_batches(x[y == label], y[y == label], 8)) for label in range(3)]
    total = sum(pickle.loads(pickle.dumps(client)) for client in clients)
    assert isinstance(total, HeadStatistics)
    model, whole = classifier(5, 3), classifier(5, 3)
    fit_head(model, total, strength=3.0)
    assert distance(layer_of(model)[0], ridge(stacked(x), one_hot(y, 3), 3.0)[0]) <= 1e-10
    sharded = fit_head(model, total)
    central = fit_head(whole, in_batches(x, y, 8), strength="gcv")
    np.testing.assert_allclose(sharded.tried, central.tried, rtol=1e-10)
    assert distance(layer_of(model)[0], layer_of(whole)[0]) <= 1e-10


def test_another_device() -> None:
    x, y = samples(60, 5, 3)
    statistics = collect(classifier(5, 3), [(x, y)])
    elsewhere = statistics.to("meta")
    assert elsewhere.count == 60
    assert all(part.is_meta for part in vars(elsewhere).values() if isinstance(part, Tensor))
    assert (elsewhere + statistics).scatter.is_meta
    assert_same(statistics.to("cpu"), statistics)


def test_sums_about_zero_add_up_too() -> None:
    x, y = samples(60, 5, 3)
    model = classifier(5, 3)
    whole = collect(model, [(x, y)]).about_zero()
    assert_same(collect(model, [(x[:9], y[:9])]).about_zero() + collect(model, [(x[9:], y[9:])]).about_zero(), whole)


def test_statistics_of_other_things_are_not_added() -> None:
    x, y = samples(60, 5, 3)
    statistics = collect(classifier(5, 3), [(x, y)])
    values = collect(classifier(5, 3), [(x, x[:, :3, 0, 0])])
    message = (
        "HeadStatistics: expected another part with 5 features, 3 outputs, class ids, centre mean; got 5 features, "
        "3 outputs, real targets, centre mean. Statistics add up when they come from the same classifier"
    )
    with pytest.raises(PoolError, match=re.escape(message)):
        statistics + values
    with pytest.raises(PoolError, match="got 5 features, 4 outputs, class ids, centre mean"):
        statistics + collect(classifier(5, 4), [(x, y)])
    with pytest.raises(PoolError, match="got 5 features, 3 outputs, class ids, centre zero"):
        statistics + statistics.about_zero()
    with pytest.raises(TypeError, match="unsupported operand"):
        3 + statistics


ROWS = 37  # a number of rows that nothing else in the process has


def live_bytes() -> int:
    """Memory of the tensors that hold rows of a batch, or of several."""
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    return sum(t.untyped_storage().nbytes() for t in tensors if any(side and side % ROWS == 0 for side in t.shape))


@pytest.mark.parametrize("strength", [1.0, "loo", "gcv", None])
def test_memory_does_not_depend_on_the_number_of_samples(strength: float | Literal["loo", "gcv"] | None) -> None:
    """What lives while the n-th batch is made is the same for every n: nothing of earlier batches is kept."""
    alive: list[int] = []

    class Loader:
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            generator = torch.Generator().manual_seed(0)
            for number in range(60):
                if number % 10 == 5:
                    alive.append(live_bytes())
                x = torch.randn(ROWS, 6, 3, 2, generator=generator, dtype=torch.float64)
                yield x, torch.arange(ROWS) % 3

    if strength is None:
        collect(classifier(6, 3), Loader())
    else:
        fit_head(classifier(6, 3), Loader(), strength=strength)
    passes = 2 if strength == "loo" else 1
    assert len(alive) == 6 * passes
    for start in range(0, len(alive), 6):
        assert len(set(alive[start : start + 6])) == 1, alive


def test_meta_a_kept_batch_would_be_seen() -> None:
    before = live_bytes()
    kept = torch.zeros(2 * ROWS)
    assert live_bytes() == before + kept.nbytes


def test_statistics_hold_nothing_a_sample() -> None:
    x, y = samples(300, 5, 3)
    for count in (30, 300):
        statistics = collect(classifier(5, 3), in_batches(x[:count], y[:count], 10))
        held = [getattr(statistics, field.name) for field in fields(statistics)]
        assert sum(part.numel() for part in held if isinstance(part, Tensor)) == 5 + 25 + 3 + 15 + 3 + 3
        assert all(
            part.dtype == torch.float64 for part in held if isinstance(part, Tensor) and part.is_floating_point()
        )
