"""What a fit leaves alone, what it writes, and the way back."""

import dataclasses
import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import DataError
from globalpool.models import convnet
from globalpool.surgery import HeadFit, collect, cost, fit_head
from tests.evidence.test_no_side_effects import same, state
from tests.surgery.slow import Batches, classifier, in_batches, layer_of, samples

WAYS: list[dict[str, Any]] = [
    {"strength": 1.0},
    {"strength": "loo"},
    {"strength": "gcv"},
    {"method": "logistic"},
]


def network(*, bias: bool = True) -> gp.PooledClassifier:
    """A trained-looking network in mixed modes, with gradients, frozen parts and a hook of its own."""
    torch.manual_seed(0)
    model = convnet(2, num_classes=3, widths=(4, 6), pool=gp.Attention(6))
    model.tail = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3, bias=bias))
    model(torch.randn(4, 3, 8, 8)).sum().backward()
    model.train()
    model.trunk[1].eval()  # type: ignore[index]
    model.trunk[0].weight.requires_grad_(False)  # type: ignore[index]
    model.trunk.register_forward_hook(lambda module, inputs, output: None)
    return model


def pictures(count: int = 30) -> Batches:
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(count) % 3
    x = torch.randn(count, 3, 8, 8, generator=generator) + y[:, None, None, None]
    return in_batches(x, y, 8)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_only_the_layer_changes_and_undo_is_bit_identical(way: dict[str, Any], bias: bool) -> None:
    model = network(bias=bias)
    before = state(model)
    layer = model.tail[1]  # type: ignore[index]
    parameters = list(layer.parameters())
    version = layer.weight._version
    fit = fit_head(model, pictures(), **way)
    after = state(model)
    changed = {name for name in before["tensors"] if not torch.equal(before["tensors"][name], after["tensors"][name])}
    assert changed == ({"tail.1.weight", "tail.1.bias"} if bias else {"tail.1.weight"})
    assert all(same(before[part], after[part]) for part in before if part != "tensors")
    assert all(now is then for now, then in zip(layer.parameters(), parameters, strict=True))
    assert layer.weight._version == version + 1, "written once, in the end"
    with torch.no_grad():
        layer.weight.fill_(torch.nan)
    fit.undo()
    assert same(before, state(model))
    fit.undo()
    assert same(before, state(model))


def test_undo_gives_back_bits_that_compare_unequal() -> None:
    x, y = samples(30, 5, 3)
    model = classifier(5, 3)
    layer = model.tail
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight[0, 0], layer.weight[0, 1], layer.weight[1, 0] = torch.nan, -0.0, torch.inf
    bits = layer.weight.detach().clone().view(torch.int64)
    fit = fit_head(model, in_batches(x, y, 7))
    assert layer.weight.isfinite().all()
    fit.undo()
    assert torch.equal(layer.weight.detach().view(torch.int64), bits)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_an_error_in_the_loader_leaves_everything_as_it_was(way: dict[str, Any]) -> None:
    """At the first, a middle and the last batch, with the traceback still held."""
    for broken in (0, 2, 3):
        model = network()
        before = state(model)

        class Loader:
            def __iter__(self, broken: int = broken) -> Iterator[Any]:
                for number, batch in enumerate(pictures()):
                    yield (batch[0], batch[1] + 3) if number == broken else batch

        with pytest.raises(DataError, match=f"class ids from 0 to 2.*got ids from 3 to 5 in batch {broken}") as held:
            fit_head(model, Loader(), **way)
        assert same(before, state(model))
        with pytest.raises(DataError):
            collect(model, Loader())
        assert same(before, state(model))
        assert held.value.__traceback__ is not None


def test_the_fit_speaks_of_eval_mode() -> None:
    training, evaluating = network(), network().eval()
    fits = [fit_head(model, pictures()) for model in (training, evaluating)]
    assert fits[0].tried == fits[1].tried
    assert torch.equal(*(model.tail[1].weight for model in (training, evaluating)))  # type: ignore[index]


def test_a_fitted_network_knows_its_classes_and_its_logits_are_maps() -> None:
    model = network()
    fit = fit_head(model, pictures(300))
    model.eval()
    right = sum(int((model(x).argmax(1) == y).sum()) for x, y in pictures(300))
    assert fit.accuracy == right / 300
    assert fit.accuracy > 0.75
    model.evidence(pictures()[0][0], "all").check()


def test_the_record_is_frozen_and_readable() -> None:
    x, y = samples(30, 5, 3)
    fit = fit_head(classifier(5, 3), in_batches(x, y, 7), strength=2.0)
    assert isinstance(fit, HeadFit)
    assert fit.seconds > 0
    assert repr(fit).startswith("HeadFit(method='ridge', strength=2.0, count=30, seconds=")
    assert "tensor" not in repr(fit)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'strength'"):
        fit.strength = 3.0  # type: ignore[misc]


def test_a_subclass_with_the_same_forward_is_fitted() -> None:
    class Named(gp.PooledClassifier):
        def forward(self, x: Tensor, **layout: Any) -> Tensor:
            """The same, written again."""
            logits: Tensor = self.tail(self.pool(self.features(x), **layout))
            return logits

    x, y = samples(30, 5, 3)
    plain, model = classifier(5, 3), Named(nn.Identity(), gp.Mean(), nn.Linear(5, 3)).double()
    fit_head(plain, in_batches(x, y, 7))
    fit_head(model, in_batches(x, y, 7))
    for got, want in zip(layer_of(model), layer_of(plain), strict=True):
        assert_close(got, want, rtol=0, atol=0)


def test_a_hundred_fits_and_costs_leave_nothing_behind() -> None:
    x, y = samples(30, 5, 3)
    model, batches = classifier(5, 3), in_batches(x, y, 7)

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())

    def all_of_it() -> None:
        for way in WAYS:
            fit_head(model, batches, **way).undo()
        cost(model, (5, 3, 2), runs=1)

    all_of_it()
    before = tensors()
    for _ in range(25):
        all_of_it()
    assert tensors() == before
