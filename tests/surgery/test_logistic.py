"""Logistic regression against scikit-learn's optimum, and against the conditions that make it one."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

import globalpool as gp
from globalpool.surgery import collect, fit_head
from globalpool.surgery.batches import PooledBatch
from globalpool.surgery.logistic import LogisticProblem, Objective
from tests.surgery.slow import (
    Array,
    classifier,
    distance,
    ill_conditioned,
    in_batches,
    layer_of,
    one_hot,
    samples,
    stacked,
)


def scikit_learn(x: Array, y: Array, strength: float, *, bias: bool = True) -> tuple[Array, Array]:
    fit = LogisticRegression(C=1 / strength, fit_intercept=bias, tol=1e-12, solver="newton-cholesky", max_iter=1000)
    fit.fit(x, y)
    return fit.coef_, fit.intercept_


def slope(weight: Array, bias: Array, x: Array, y: Array, strength: float) -> tuple[Array, Array]:
    """The gradient of the summed loss in weight and bias, in numpy."""
    outputs = x @ weight.T + bias
    probabilities = np.exp(outputs - outputs.max(1, keepdims=True))
    error = probabilities / probabilities.sum(1, keepdims=True) - y
    return error.T @ x + strength * weight, error.sum(0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strength", [1e-2, 1.0, 100.0])
@pytest.mark.parametrize(("count", "features", "classes"), [(300, 8, 5), (60, 80, 3)])
def test_equals_scikit_learn(count: int, features: int, classes: int, strength: float, bias: bool) -> None:
    x, y = samples(count, features, classes)
    model = classifier(features, classes, bias=bias)
    fit = fit_head(model, in_batches(x, y, 32), "logistic", strength)
    weight, intercept = scikit_learn(stacked(x), y.numpy(), strength, bias=bias)
    assert distance(layer_of(model)[0], weight) <= 1e-6
    if bias:
        assert distance(layer_of(model)[1], intercept) <= 1e-6
    expected = ((stacked(x) @ weight.T + intercept).argmax(1) == y.numpy()).mean()
    assert (fit.accuracy, fit.count, fit.strength, fit.explained) == (expected, count, strength, None)


def test_two_classes_are_penalised_a_row_each() -> None:
    x, y = samples(80, 6, 2)
    model = classifier(6, 2)
    fit_head(model, in_batches(x, y, 32), "logistic", 2.0)
    weight, bias = layer_of(model)
    expected, intercept = scikit_learn(stacked(x), y.numpy(), 1.0)
    assert distance(weight[1] - weight[0], expected[0]) <= 1e-6
    assert distance(bias[1:] - bias[:1], intercept) <= 1e-6


def test_the_gradient_vanishes_on_ill_conditioned_vectors() -> None:
    """scikit-learn's solvers do not arrive here; the conditions of the optimum decide."""
    x, y = samples(300, 8, 4)
    x = ill_conditioned(x, constant=100.0)
    model = classifier(8, 4)
    fit_head(model, in_batches(x, y, 32), "logistic", 0.1)
    vectors = stacked(x)
    start = slope(np.zeros((4, 8)), np.zeros(4), vectors, one_hot(y, 4), 0.1)
    end = slope(*layer_of(model), vectors, one_hot(y, 4), 0.1)
    size = np.abs(vectors).max(0)
    assert np.abs(end[0] / size).max() <= 1e-8 * np.abs(start[0] / size).max()
    assert np.abs(end[1]).max() <= 1e-7


@pytest.mark.parametrize("strength", [1e-2, 1.0])
def test_real_digits_that_are_nearly_separable(strength: float) -> None:
    """1,797 handwritten digits, 64 pixels: L-BFGS at its usual tolerance is 20 % away from these weights."""
    digits = load_digits()
    x, y = torch.tensor(digits.data)[:, :, None, None], torch.tensor(digits.target)
    model = classifier(64, 10)
    fit = fit_head(model, in_batches(x, y, 500), "logistic", strength)
    expected, _ = scikit_learn(digits.data, digits.target, strength)
    assert distance(layer_of(model)[0], expected) <= 1e-5
    assert fit.accuracy is not None
    assert fit.accuracy > 0.99


@pytest.mark.parametrize("bias", [True, False])
def test_the_default_strength_is_the_mean_variance(bias: bool) -> None:
    x, y = samples(60, 6, 3)
    model, other = classifier(6, 3, bias=bias), classifier(6, 3, bias=bias)
    fit = fit_head(model, in_batches(x, y, 60), "logistic")
    vectors = stacked(x)
    assert fit.strength == pytest.approx(vectors.var(0).mean() if bias else (vectors**2).mean())
    scaled = fit_head(other, in_batches(1e-3 * x, y, 60), "logistic")
    assert scaled.strength == pytest.approx(1e-6 * fit.strength)
    assert distance(1e-3 * layer_of(other)[0], layer_of(model)[0]) <= 1e-7
    assert scaled.accuracy == fit.accuracy


def test_a_generator_is_read_once() -> None:
    x, y = samples(60, 6, 3)
    model, other = classifier(6, 3), classifier(6, 3)
    fit_head(model, iter(in_batches(x, y, 7)), "logistic", 1.0)
    fit_head(other, in_batches(x, y, 7), "logistic", 1.0)
    assert distance(layer_of(model)[0], layer_of(other)[0]) == 0


@pytest.mark.parametrize("rotated", [0, 200])
@pytest.mark.parametrize("bias", [True, False])
def test_gradient_and_curvature_are_those_of_the_value(
    bias: bool, rotated: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globalpool.surgery.logistic.CHUNK", 17)
    monkeypatch.setattr("globalpool.surgery.logistic.ROTATED", rotated)  # numbers; 40 x 5 are just kept
    x, y = samples(40, 5, 3)
    statistics = collect(classifier(5, 3), [(x, y)])
    statistics = statistics if bias else statistics.about_zero()
    problem = LogisticProblem(PooledBatch(torch.tensor(stacked(x)), 3, y), statistics)
    assert (problem.rotated is None) == (rotated == 0)
    objective = Objective(problem, 0.7)
    generator = np.random.default_rng(0)
    place, direction = generator.normal(size=18), generator.normal(size=18)

    def gradient(at: Array) -> Array:
        return objective.value_and_gradient(at)[1]

    step = 1e-5
    ahead, behind = (objective.value_and_gradient(place + way * step * direction)[0] for way in (1, -1))
    assert (ahead - behind) / (2 * step) == pytest.approx(gradient(place) @ direction, rel=1e-8)
    difference = (gradient(place + step * direction) - gradient(place - step * direction)) / (2 * step)
    assert distance(objective.curvature(place, direction), difference) <= 1e-8
    # Round: no direction bends more than one.
    hessian = np.stack([objective.curvature(place, unit) for unit in np.eye(18)])
    assert np.abs(hessian - hessian.T).max() <= 1e-14
    assert np.linalg.eigvalsh(hessian).max() <= 1 + 1e-12


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("count", "features"), [(90, 12), (30, 70)])
def test_turned_once_or_read_again_at_every_step(
    count: int, features: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = samples(count, features, 3)
    monkeypatch.setattr("globalpool.surgery.logistic.CHUNK", 17)
    found = []
    for rotated in (count * min(count, features), 0):
        monkeypatch.setattr("globalpool.surgery.logistic.ROTATED", rotated)
        model = classifier(features, 3, bias=bias)
        fit_head(model, in_batches(x, y, 32), "logistic", 0.3)
        found.append(layer_of(model)[0])
    assert distance(*found) <= 1e-9
    # The weights are a sum of the samples, each times its error: all of them lie in the span.
    centred = stacked(x) - (stacked(x).mean(0) if bias else 0)
    span = np.linalg.pinv(centred) @ centred
    assert distance(found[0] @ span, found[0]) <= 1e-9


def test_vectors_are_kept_in_the_dtype_of_the_tail() -> None:
    x, y = samples(60, 6, 3)
    model = gp.PooledClassifier(nn.Identity(), gp.Mean(), nn.Linear(6, 3))
    fit_head(model, in_batches(x.float(), y, 7), "logistic", 1.0)
    weight, _ = scikit_learn(stacked(x), y.numpy(), 1.0)
    assert distance(layer_of(model)[0], weight) <= 1e-5


@pytest.mark.parametrize("bias", [True, False])
def test_a_start_nearby_leads_to_the_same_minimum_sooner(bias: bool) -> None:
    x, y = samples(300, 8, 4)
    statistics = collect(classifier(8, 4), [(x, y)])
    problem = LogisticProblem(
        PooledBatch(torch.tensor(stacked(x)), 4, y), statistics if bias else statistics.about_zero()
    )
    far = problem.solve(1.0)
    near = problem.solve(1.0, problem.solve(1.5))
    assert distance(near.weight.numpy(), far.weight.numpy()) <= 1e-7
    value, gradient = Objective(problem, 1.0).value_and_gradient(Objective(problem, 1.0).start(far))
    assert np.linalg.norm(gradient) <= 1e-7
    assert value < Objective(problem, 1.0).value_and_gradient(Objective(problem, 1.0).start(None))[0]
