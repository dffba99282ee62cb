"""Ridge from one pass against scikit-learn on the stacked vectors."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import globalpool as gp
from globalpool.surgery import collect, fit_head
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


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0, 100.0, 1e5])
@pytest.mark.parametrize(("count", "features"), [(90, 12), (20, 50), (40, 40)])
def test_equals_scikit_learn(count: int, features: int, strength: float, bias: bool) -> None:
    x, y = samples(count, features, 4)
    model = classifier(features, 4, bias=bias)
    fit = fit_head(model, in_batches(x, y, 16), strength=strength)
    expected = ridge(stacked(x), one_hot(y, 4), strength, bias=bias)
    for got, want in zip(layer_of(model), expected, strict=True):
        assert np.abs(got - want).max() <= 1e-6 * max(1e-3, np.abs(want).max())
    assert (fit.method, fit.strength, fit.count, fit.tried) == ("ridge", strength, count, ())
    assert fit.accuracy is None
    assert fit.held_out_accuracy is None


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0, 100.0])
def test_equals_scikit_learn_on_ill_conditioned_vectors(strength: float, bias: bool) -> None:
    x, y = samples(200, 10, 3)
    # Without a bias a large constant is a direction like others: the products themselves are then singular.
    x = ill_conditioned(x, constant=100.0 if bias else 0.0)
    model = classifier(10, 3, bias=bias)
    fit_head(model, in_batches(x, y, 32), strength=strength)
    expected = ridge(stacked(x), one_hot(y, 3), strength, bias=bias)
    assert distance(layer_of(model)[0], expected[0]) <= 1e-6
    if bias:
        assert distance(layer_of(model)[1], expected[1]) <= 1e-6


def test_a_strength_of_zero_is_least_squares() -> None:
    x, y = samples(60, 5, 3)
    model = classifier(5, 3)
    fit_head(model, in_batches(x, y, 7), strength=0.0)
    design = np.column_stack([stacked(x), np.ones(60)])
    solution = np.asarray(np.linalg.lstsq(design, one_hot(y, 3), rcond=None)[0], dtype=np.float64)
    assert distance(np.column_stack(layer_of(model)), solution.T) <= 1e-10


@pytest.mark.parametrize("dtype", [torch.float64, torch.bool, torch.int64])
def test_several_labels_a_sample(dtype: torch.dtype) -> None:
    x, _ = samples(50, 6, 4)
    labels = (torch.randn(50, 4, generator=torch.Generator().manual_seed(1)) > 0).to(dtype)
    model = classifier(6, 4)
    fit = fit_head(model, in_batches(x, labels, 9), strength=2.0)
    assert distance(layer_of(model)[0], ridge(stacked(x), labels.double().numpy(), 2.0)[0]) <= 1e-9
    assert fit.accuracy is None
    assert fit_head(model, in_batches(x, labels, 9)).held_out_accuracy is None


def test_one_real_target() -> None:
    x, _ = samples(50, 6, 4)
    target = x.mean((1, 2, 3)) * 3 + 7
    model = classifier(6, 1)
    fit = fit_head(model, in_batches(x, target, 9), strength=0.5)
    weight, bias = ridge(stacked(x), target.numpy()[:, None], 0.5)
    assert distance(layer_of(model)[0], weight) <= 1e-9
    predictions = stacked(x) @ weight.T + bias
    share = 1 - ((predictions[:, 0] - target.numpy()) ** 2).sum() / ((target - target.mean()) ** 2).sum().item()
    assert fit.explained == pytest.approx(share, rel=1e-9)


def test_half_precision_layers_are_fitted_in_float64() -> None:
    x, y = samples(60, 6, 3)
    model = classifier(6, 3).to(torch.bfloat16)
    fit_head(model, in_batches(x.bfloat16(), y, 7), strength=1.0)
    vectors = model.pool(x.bfloat16()).double().numpy()
    expected = torch.tensor(ridge(vectors, one_hot(y, 3), 1.0)[0])
    layer = model.tail
    assert isinstance(layer, nn.Linear)
    assert layer.weight.dtype == torch.bfloat16
    torch.testing.assert_close(layer.weight.detach().double(), expected, rtol=2**-8, atol=1e-9)


def test_padded_measured_and_ragged_samples_count_as_they_are() -> None:
    """Layout arguments reach the pool: all three loaders hold the same samples, absent places hold NaN."""
    x, y = samples(24, 5, 3)
    rows = [sample[:, : 1 + number % 3, :2].flatten(1) for number, sample in enumerate(x)]
    vectors = np.stack([row.mean(1).numpy() for row in rows])
    expected = ridge(vectors, one_hot(y, 3), 1.0)[0]

    def loader(batch: Any) -> list[Any]:
        return [batch(rows[at : at + 8], y[at : at + 8]) for at in range(0, 24, 8)]

    def padded(part: list[Tensor], ids: Tensor) -> Any:
        whole = torch.full((len(part), 5, 9), torch.nan, dtype=torch.float64)
        for place, row in enumerate(part):
            whole[place, :, : row.shape[1]] = row
        return whole, {"lengths": torch.tensor([row.shape[1] for row in part])}, ids

    def ragged(part: list[Tensor], ids: Tensor) -> Any:
        ptr = torch.tensor([0, *(row.shape[1] for row in part)]).cumsum(0)
        return torch.cat([row.T for row in part]), {"ptr": ptr}, ids

    def measured(part: list[Tensor], ids: Tensor) -> Any:
        whole, layout, _ = padded(part, ids)
        mask = (torch.arange(9) < layout["lengths"][:, None]) * 0.25
        return whole, {"mask": mask}, ids

    for batch in (padded, ragged, measured):
        model = classifier(5, 3)
        fit_head(model, loader(batch), strength=1.0)
        assert distance(layer_of(model)[0], expected) <= 1e-10, batch.__name__
        assert fit_head(model, loader(batch)).accuracy is not None


def test_the_last_layer_of_a_sequential_is_fitted_through_what_comes_before() -> None:
    torch.manual_seed(0)
    x, y = samples(60, 6, 3)
    first, norm, last = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)
    tail = nn.Sequential(nn.Flatten(), nn.Sequential(first, norm, nn.Hardtanh()), nn.Sequential(nn.Dropout(0.5), last))
    tail.append(nn.Dropout(0.9))
    model = gp.PooledClassifier(nn.Identity(), gp.Mean(), tail).double()
    norm.running_mean.copy_(torch.randn(8))  # type: ignore[union-attr]
    before = [parameter.detach().clone() for parameter in (*first.parameters(), *norm.parameters())]
    fit_head(model.train(), in_batches(x, y, 16), strength=1.0)
    hidden = np.asarray(torch.tensor(stacked(x)) @ first.weight.detach().T + first.bias.detach())
    assert norm.running_mean is not None
    hidden = (hidden - norm.running_mean.numpy()) / (1 + norm.eps) ** 0.5  # the variance is still one
    weight, bias = ridge(hidden.clip(-1, 1), one_hot(y, 3), 1.0)
    assert distance(last.weight.detach().numpy(), weight) <= 1e-9
    assert distance(last.bias.detach().numpy(), bias) <= 1e-9
    after = [parameter.detach() for parameter in (*first.parameters(), *norm.parameters())]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_one_pass_reads_a_generator_once() -> None:
    x, y = samples(60, 6, 3)
    reads = []

    def generator() -> Iterator[tuple[Tensor, Tensor]]:
        for number, batch in enumerate(in_batches(x, y, 7)):
            reads.append(number)
            yield batch

    model, other = classifier(6, 3), classifier(6, 3)
    fit_head(model, generator(), strength=1.0)
    fit_head(other, generator(), strength="gcv")
    assert reads == [*range(9), *range(9)]
    fit_head(other, in_batches(x, y, 60), strength=1.0)
    assert distance(layer_of(model)[0], layer_of(other)[0]) <= 1e-12


def test_an_empty_batch_is_left_out() -> None:
    x, y = samples(30, 6, 3)
    batches = [(x[:10], y[:10]), (x[:0], y[:0]), (x[10:], y[10:])]
    statistics = collect(classifier(6, 3), batches)
    assert statistics.count == 30
    assert torch.equal(statistics.class_counts, torch.bincount(y))  # type: ignore[arg-type]
