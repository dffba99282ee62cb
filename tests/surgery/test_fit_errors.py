"""What a fit refuses, in finished sentences."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import globalpool as gp
from globalpool.errors import DataError, GlobalPoolError, PoolError
from globalpool.surgery import collect, fit_head
from tests.surgery.slow import classifier, in_batches, samples

X, Y = samples(30, 5, 3)
BATCHES = in_batches(X, Y, 8)


def refused(error: type[GlobalPoolError], message: str, data: Any = BATCHES, *arguments: Any, **named: Any) -> None:
    model = named.pop("model", None) or classifier(5, 3)
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(error, match=re.escape(f"fit_head: expected {message}")) as caught:
        fit_head(model, data, *arguments, **named)
    assert str(caught.value).endswith(".") or str(caught.value)[-1] in ")'`"
    assert all(torch.equal(now, then) for now, then in zip(model.parameters(), weights, strict=True))


def with_batch(batch: Any) -> list[Any]:
    return [BATCHES[0], batch]


def test_settings() -> None:
    refused(PoolError, '`method` to be "ridge" or "logistic"; got \'lda\'.', BATCHES, "lda")
    for wrong in (-1.0, float("nan"), float("inf")):
        refused(PoolError, f"`strength` for ridge as a finite number from 0; got {wrong}.", strength=wrong)
    refused(PoolError, "`strength` for logistic as a finite number above 0; got 0.", BATCHES, "logistic", 0)
    refused(
        PoolError, "`strength` for ridge as a number or one of ('loo', 'gcv', 'validation'); got 'cv'.", strength="cv"
    )
    refused(
        PoolError,
        "`strength` for logistic as a number or one of ('validation',); got 'loo'.",
        BATCHES,
        "logistic",
        "loo",
    )
    both = '`strength="validation"` together with a `validation` loader; got one without the other.'
    refused(PoolError, both, strength="validation")
    refused(PoolError, both, strength=1.0, validation=BATCHES)
    refused(PoolError, both, strength="gcv", validation=BATCHES)
    rule = "a rule to choose from `strengths` by; got `strength` "
    refused(PoolError, f"{rule}1.0. Leave `strengths` out, or write", strength=1.0, strengths=(1.0, 2.0))
    refused(PoolError, f"{rule}None. Leave `strengths` out, or write", BATCHES, "logistic", strengths=(1.0, 2.0))
    refused(PoolError, "`strengths` as positive finite numbers; got (0.0, 1.0).", strengths=(0.0, 1.0))
    refused(PoolError, "`strengths` as positive finite numbers; got ().", strengths=())


def test_loaders_that_leave_one_out_cannot_read_twice() -> None:
    twice = (
        "a loader that can be read twice, for leave-one-out; got an iterator, which can be read once. Give a DataLoader"
    )
    refused(PoolError, twice, iter(BATCHES))
    refused(PoolError, twice, (batch for batch in BATCHES))
    alone = "a loader that can be read twice, for leave-one-out; got statistics alone."
    refused(PoolError, alone, collect(classifier(5, 3), BATCHES), strength="loo")
    refused(
        PoolError,
        "a loader for logistic regression; got HeadStatistics.",
        collect(classifier(5, 3), BATCHES),
        "logistic",
    )

    class Once:
        def __init__(self, batches: list[Any]) -> None:
            self.batches = batches

        def __iter__(self) -> Iterator[Any]:
            while self.batches:
                yield self.batches.pop()

    class Random:
        def __iter__(self) -> Iterator[Any]:
            for x, y in BATCHES:
                yield x + 0.1 * torch.randn_like(x), y

    class Growing:
        def __init__(self) -> None:
            self.batches: list[Any] = []

        def __iter__(self) -> Iterator[Any]:
            self.batches += BATCHES
            return iter(self.batches)

    refused(DataError, "at least one sample from the loader; got none. A generator can be read once", Once([*BATCHES]))
    same = "the same samples at the second reading; got "
    refused(DataError, f'{same}other samples. Turn random augmentation off, or choose by strength="gcv"', Random())
    refused(DataError, f"{same}60 samples after 30.", Growing())


def test_empty_loaders() -> None:
    none = "at least one sample from the loader; got none. A generator can be read once only; a DataLoader again"
    for way in ({}, {"method": "logistic"}, {"strength": 1.0}):
        refused(DataError, none, [], **way)
        refused(DataError, none, [(X[:0], Y[:0])], **way)
    refused(DataError, none, BATCHES, validation=[])
    with pytest.raises(DataError, match="collect: expected at least one sample from the loader; got none"):
        collect(classifier(5, 3), [])


def test_classes_that_are_missing() -> None:
    hint = "Give the tail one output for each class in the data"
    for way in ({}, {"method": "logistic"}, {"strength": 1.0}):
        message = "samples of at least two classes, of all 5; got none of classes [3, 4]. " + hint
        refused(DataError, message, model=classifier(5, 5), **way)
        message = "samples of at least two classes, of all 3; got none of classes [0, 2]."
        refused(DataError, message, [(X, torch.ones_like(Y))], **way)
        message = "samples of at least two classes, of all 1; got the one class there is."
        refused(DataError, message, [(X, torch.zeros_like(Y))], model=classifier(5, 1), **way)
    refused(
        DataError,
        "samples of at least two classes, of all 20; got none of classes [3, 4, 5, 6, 7, 8, 9, 10, ...].",
        model=classifier(5, 20),
    )


def test_targets() -> None:
    ids = "class ids from 0 to 2, the outputs of the tail; got ids from "
    refused(DataError, f"{ids}0 to 3 in batch 1.", with_batch((X[:4], torch.tensor([0, 1, 3, 2]))))
    refused(DataError, f"{ids}-1 to 2 in batch 1.", with_batch((X[:4], torch.tensor([0, 1, -1, 2]))))
    shape = "class ids (4,) or targets (4, 3): samples of the batch, outputs; got "
    refused(DataError, f"{shape}int64 (5,) in batch 1.", with_batch((X[:4], Y[:5])))
    refused(DataError, f"{shape}float64 (4,) in batch 1.", with_batch((X[:4], X[:4, 0, 0, 0])))
    refused(DataError, f"{shape}float64 (4, 2) in batch 1.", with_batch((X[:4], X[:4, :2, 0, 0])))
    refused(DataError, f"{shape}int64 () in batch 1.", with_batch((X[:4], torch.tensor(1))))
    refused(DataError, "finite targets; got NaN or Inf in batch 0.", [(X, X[:, :3, 0, 0] / 0)])
    refused(DataError, "targets that differ between samples; got the same for all.", [(X, torch.ones(30, 3))])
    classes = "class ids and two outputs or more, for logistic regression; got real targets. Fit several labels"
    refused(DataError, classes, [(X, X[:, :3, 0, 0])], "logistic")
    mixed = "the same kind of targets in every batch; got class ids, then real targets in batch 1."
    for way in ({}, {"method": "logistic"}, {"strength": 1.0}):
        refused(DataError, mixed, with_batch((X, X[:, :3, 0, 0])), **way)
    with pytest.raises(DataError, match=re.escape(f"collect: expected {mixed}")):
        collect(classifier(5, 3), with_batch((X, X[:, :3, 0, 0])))


def test_vectors() -> None:
    broken = X.clone()
    broken[2, 0, 0, 0] = torch.nan
    finite = "finite pooled vectors; got NaN or Inf in sample 2 of batch 1. Look for NaN or Inf in the input"
    for way in ({}, {"method": "logistic"}, {"strength": 1.0}):
        refused(DataError, finite, with_batch((broken, Y)), **way)
    refused(DataError, "pooled vectors that differ between samples; got the same one for all.", [(X * 0 + 1, Y)])
    refused(PoolError, "vectors (N, 4) for the last linear layer; got (8, 5) from Mean.", model=classifier(4, 3))


def test_batches_of_another_form() -> None:
    form = "batches (x, y) or (x, layout, y), with a dict of layout arguments and a tensor y; got "
    refused(DataError, f"{form}Tensor as batch 0.", [X])
    refused(DataError, f"{form}tuple of 1 as batch 0.", [(X,)])
    refused(DataError, f"{form}(Tensor, Tensor, Tensor) as batch 1.", with_batch((X, X, Y)))
    refused(DataError, f"{form}(Tensor, list) as batch 0.", [[X, [0, 1]]])


def test_strengths_too_small_for_the_data() -> None:
    twice = torch.cat([X, X[:, :1]], 1)
    unique = "a strength that makes the solution unique; got 0. Some features are combinations of others; give a larger"
    refused(PoolError, unique, [(twice, Y)], model=classifier(6, 3), strength=0.0)
    refused(PoolError, unique, [(X[:4], Y[:4] * 0 + torch.tensor([0, 1, 2, 0]))], strength=0.0)
    fit_head(classifier(6, 3), [(twice, Y)], strength=1e-6)


def test_a_logistic_fit_that_does_not_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalpool.surgery.logistic.ACCEPTED", 1e-40)
    refused(PoolError, "a gradient below 1e-40 after 200 steps; got ", BATCHES, "logistic")


def test_a_solution_beyond_the_layer() -> None:
    """Of the weight alone, as vectors and targets are centred; and of the bias alone."""
    beyond = "a solution within the range of torch.float16; got NaN or Inf. Give a larger strength, or fit in float32."
    x, values = (X * 1e-4).half(), X[:, :3, 0, 0] * 1e3
    steep = [(torch.cat([x, -x]), torch.cat([values, -values]))]
    refused(PoolError, beyond, steep, strength=1e-9, model=classifier(5, 3).half())
    refused(PoolError, beyond, [(X.half(), values + 1e5)], strength=1e9, model=classifier(5, 3).half())


def test_classifiers_and_tails() -> None:
    head = gp.PooledHead(gp.Mean(), 5, 3)
    refused(
        PoolError, "a PooledClassifier; got PooledHead. Write PooledClassifier(nn.Identity(), head.pool", model=head
    )

    class Scaled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    class Twice(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = nn.Sequential.forward(self, nn.Sequential.forward(self, x))  # type: ignore[no-untyped-call]
            return out

    tails: list[tuple[nn.Module, str]] = [
        (nn.Sequential(nn.Linear(5, 3), nn.ReLU()), "ReLU at the end of Sequential"),
        (nn.Sequential(nn.Linear(5, 3), nn.Softmax(1)), "Softmax at the end of Sequential"),
        (nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)), "BatchNorm1d at the end of Sequential"),
        (nn.Bilinear(5, 5, 3), "Bilinear at the end of Bilinear"),
        (Scaled(5, 3), "Scaled at the end of Scaled"),
        (Twice(nn.Linear(5, 5)), "Twice at the end of Twice"),
        (nn.Sequential(), "Sequential at the end of Sequential"),
    ]
    for tail, got in tails:
        model = gp.PooledClassifier(nn.Identity(), gp.Mean(), tail)
        expected = "a tail that is a Linear, or a Sequential whose last layer (Dropout and Identity aside) is one; got "
        refused(PoolError, expected + got + ". Put the linear layer last", model=model)


def test_layers_that_are_not_free() -> None:
    same = nn.Linear(5, 5)
    shared = "a last layer that shares no parameter; got one the rest of the model uses. Fitting it would change"
    tied = nn.Linear(5, 5)
    tied.weight = same.weight
    for trunk, tail in (
        (nn.Identity(), nn.Sequential(same, nn.ReLU(), same)),
        (nn.Identity(), nn.Sequential(same, nn.ReLU(), tied)),
        (nn.Sequential(nn.Identity(), tied), same),
    ):
        refused(PoolError, shared, model=gp.PooledClassifier(trunk, gp.Mean(), tail))
    normed = gp.PooledClassifier(nn.Identity(), gp.Mean(), weight_norm(nn.Linear(5, 3)))
    refused(PoolError, "a last layer that owns its weight; got a weight computed from others. Remove", model=normed)


def test_a_forward_of_its_own_is_tried() -> None:
    class Louder(gp.PooledClassifier):
        def forward(self, x: Tensor, **layout: Any) -> Tensor:
            return 2 * super().forward(x, **layout)

    model = Louder(nn.Identity(), gp.Mean(), nn.Linear(5, 3)).double()
    refused(
        PoolError, "Louder to compute tail(pool(features(x))); got other logits. Its own forward does more", model=model
    )


def test_statistics_of_another_layer() -> None:
    statistics = collect(classifier(5, 3), BATCHES)
    refused(PoolError, "statistics of 4 features and 3 outputs; got (5, 3).", statistics, model=classifier(4, 3))


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scipy.optimize", None)
    with pytest.raises(
        gp.errors.MissingExtraError, match=re.escape("fit_head: expected the package scipy.optimize; got an")
    ):
        fit_head(classifier(5, 3), BATCHES, "logistic")
