"""The choice of the strength: leave-one-out against N refits, gcv against the hat matrix, validation."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from globalpool.errors import DataError
from globalpool.surgery import HeadFit, fit_head
from globalpool.surgery.scores import Score, best
from tests.surgery.slow import (
    Array,
    classifier,
    distance,
    ill_conditioned,
    in_batches,
    layer_of,
    left_out,
    one_hot,
    ridge,
    samples,
    stacked,
)

STRENGTHS = (0.03, 1.0, 30.0, 1000.0)


def squares(predictions: Array, targets: Array) -> float:
    return float(((predictions - targets) ** 2).sum(1).mean())


def hits(predictions: Array, targets: Array) -> float:
    return float((predictions.argmax(1) == targets.argmax(1)).mean())


def assert_tried(fit: HeadFit, errors: list[float], relative: float) -> None:
    assert [strength for strength, _ in fit.tried] == list(STRENGTHS)
    np.testing.assert_allclose([error for _, error in fit.tried], errors, rtol=relative)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("count", "features"), [(45, 8), (24, 40), (30, 30)])
def test_leave_one_out_equals_refits(count: int, features: int, bias: bool) -> None:
    x, y = samples(count, features, 3)
    vectors, targets = stacked(x), one_hot(y, 3)
    refits = [left_out(vectors, targets, strength, bias=bias) for strength in STRENGTHS]
    errors = [squares(predictions, targets) for predictions in refits]
    model = classifier(features, 3, bias=bias)
    fit = fit_head(model, in_batches(x, y, 7), strengths=STRENGTHS[::-1])
    assert_tried(fit, errors, 1e-8)
    best = int(np.argmin(errors))
    assert fit.strength == STRENGTHS[best]
    assert fit.held_out_accuracy == hits(refits[best], targets)
    weight, intercept = ridge(vectors, targets, STRENGTHS[best], bias=bias)
    assert fit.accuracy == hits(vectors @ weight.T + intercept, targets)
    assert distance(layer_of(model)[0], weight) <= 1e-9


def test_leave_one_out_on_ill_conditioned_vectors_and_real_targets() -> None:
    x, _ = samples(40, 6, 3)
    x = ill_conditioned(x, constant=100.0)
    targets = torch.randn(40, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 50
    fit = fit_head(classifier(6, 2), in_batches(x, targets, 9), strength="loo", strengths=STRENGTHS)
    errors = [squares(left_out(stacked(x), targets.numpy(), strength), targets.numpy()) for strength in STRENGTHS]
    assert_tried(fit, errors, 1e-6)
    assert fit.held_out_accuracy is None


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("count", "features"), [(45, 8), (24, 40)])
def test_gcv_equals_its_definition_by_the_hat_matrix(count: int, features: int, bias: bool) -> None:
    x, y = samples(count, features, 3)
    vectors, targets = stacked(x), one_hot(y, 3)
    fit = fit_head(classifier(features, 3, bias=bias), in_batches(x, y, 7), strength="gcv", strengths=STRENGTHS)
    for strength, error in fit.tried:
        hat = np.column_stack(
            [vectors @ ridge(vectors, unit[:, None], strength, bias=bias)[0][0] for unit in np.eye(count)]
        )
        if bias:
            hat = hat + 1 / count - (vectors.mean(0) @ np.linalg.pinv(vectors) @ hat)[None]
        residual = targets - hat @ targets
        expected = (residual**2).sum() / count / (1 - np.trace(hat) / count) ** 2
        assert error == pytest.approx(expected, rel=1e-8)


def test_the_default_grid_is_relative_to_the_features() -> None:
    x, y = samples(60, 6, 3)
    fit, scaled = (fit_head(classifier(6, 3), in_batches(factor * x, y, 7)) for factor in (1.0, 1000.0))
    mean_eigenvalue = stacked(x).var(0).sum() * 60 / 6
    assert len(fit.tried) == 19
    assert fit.tried[0][0] == pytest.approx(1e-6 * mean_eigenvalue)
    assert fit.tried[-1][0] == pytest.approx(1e3 * mean_eigenvalue)
    np.testing.assert_allclose(np.array(scaled.tried)[:, 1], np.array(fit.tried)[:, 1], rtol=1e-8)
    assert scaled.strength == pytest.approx(1e6 * fit.strength)
    assert scaled.held_out_accuracy == fit.held_out_accuracy
    assert fit.strength not in (fit.tried[0][0], fit.tried[-1][0])


@pytest.mark.parametrize("method", ["ridge", "logistic"])
def test_validation_scores_other_samples(method: Any) -> None:
    x, y = samples(120, 20, 3)
    x = x + 5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    train, other = in_batches(x[:60], y[:60], 13), in_batches(x[60:], y[60:], 17)
    vectors, targets = stacked(x[60:]), one_hot(y[60:], 3)
    fit = fit_head(classifier(20, 3), train, method, strengths=STRENGTHS, validation=other)
    expected, accuracies = [], []
    for strength in STRENGTHS:
        model = classifier(20, 3)
        fit_head(model, train, method, strength)
        weight, bias = layer_of(model)
        outputs = vectors @ weight.T + bias
        if method == "ridge":
            expected.append(squares(outputs, targets))
        else:
            expected.append(torch.nn.functional.cross_entropy(torch.tensor(outputs), y[60:]).item())
        accuracies.append(hits(outputs, targets))
    assert_tried(fit, expected, 1e-7)
    best = int(np.argmin(expected))
    assert 0 < best < 3, "the data should have an optimum inside"
    assert fit.strength == STRENGTHS[best]
    assert fit.held_out_accuracy == accuracies[best]
    assert fit.count == 60


def test_a_shuffling_loader_serves_leave_one_out() -> None:
    x, y = samples(60, 6, 3)
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    shuffled = fit_head(classifier(6, 3), loader)
    plain = fit_head(classifier(6, 3), in_batches(x, y, 60))
    np.testing.assert_allclose(shuffled.tried, plain.tried, rtol=1e-9)


def test_the_stronger_of_equal_strengths_is_taken() -> None:
    scores = []
    for strength, error in ((1.0, 9.0), (2.0, 6.0), (3.0, 6.0), (4.0, np.nan), (5.0, np.inf), (6.0, 7.0)):
        score = Score(strength)
        score.count, score.error = 3, torch.tensor(error)
        scores.append(score)
    assert best(scores) == 2
    assert scores[2].mean_error == 2.0


def test_strengths_that_rounding_decides_are_not_chosen() -> None:
    """With more features than samples the fit goes through every sample, and what is left over is rounding."""
    x, y = samples(24, 40, 3)
    fit = fit_head(classifier(40, 3), in_batches(x, y, 7), strengths=(1e-300, 1e-16, 1.0))
    assert [error for _, error in fit.tried[:2]] == [np.inf, np.inf]
    assert fit.strength == 1.0
    with pytest.raises(
        DataError, match=r"a strength with a finite held-out error; got \[inf\]. Give larger strengths."
    ):
        fit_head(classifier(40, 3), in_batches(x, y, 7), strengths=(1e-300,))
