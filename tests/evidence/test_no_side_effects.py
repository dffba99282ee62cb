"""Evidence leaves the model, its gradients, modes, hooks and the random state as they were."""

import gc
import threading
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import globalpool as gp
from globalpool.models import convnet


def network() -> gp.PooledClassifier:
    torch.manual_seed(0)
    model = convnet(2, num_classes=4, widths=(8, 16), pool=gp.Attention(16))
    nn.init.normal_(model.pool.content.weight)  # type: ignore[union-attr, arg-type]
    model(torch.randn(4, 3, 12, 12)).sum().backward()
    return model


def state(model: nn.Module) -> dict[str, Any]:
    return {
        "tensors": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "gradients": {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()},
        "requires": {name: p.requires_grad for name, p in model.named_parameters()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "hooks": {
            name: [len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks)]
            for name, module in model.named_modules()
        },
        "random": torch.get_rng_state().clone(),
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_unchanged(training: bool) -> None:
    model = network().train(training)
    if training:
        model.trunk[1].eval()  # type: ignore[index]  # a mixed mode must come back mixed
    before = state(model)
    x = torch.randn(2, 3, 20, 15, generator=torch.Generator().manual_seed(1))
    model.evidence(x, "all").check().centered().upsample(40)
    with pytest.raises(gp.errors.EvidenceError):
        model.evidence(x, 99)
    with pytest.raises(RuntimeError):
        model.evidence(x[:, :1])
    assert same(before, state(model))


def test_evidence_speaks_of_eval_mode() -> None:
    model, x = network(), torch.randn(2, 3, 20, 15)
    training = model.train().evidence(x, "all")
    evaluating = model.eval().evidence(x, "all")
    assert torch.equal(training.maps, evaluating.maps)


def test_eight_threads_agree_bit_for_bit() -> None:
    model = network().eval()
    inputs = [torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(8)]
    with torch.inference_mode():
        expected = [model.evidence(x, "all").maps for x in inputs]
    wrong: list[int] = []

    def work(place: int) -> None:
        with torch.inference_mode():
            got = [model.evidence(inputs[place], "all").maps for _ in range(20)]
        wrong.extend(place for maps in got if not torch.equal(maps, expected[place]))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_deep_copy_is_independent() -> None:
    model, x = network().eval(), torch.randn(2, 3, 16, 16)
    copy = deepcopy(model)
    before = model.evidence(x, "all").detach()
    with torch.no_grad():
        copy.tail.weight.zero_()  # type: ignore[operator]
    assert torch.equal(model.evidence(x, "all").maps, before.maps)
    assert (copy.evidence(x, "all").maps == 0).all()
    deepcopy(before).check()


def test_2000_calls_leave_nothing_behind() -> None:
    model, x = gp.PooledHead(gp.LogMeanExp(), 8, 4), torch.randn(2, 8, 5, 5)

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())

    for _ in range(10):
        model.evidence(x, "all").check()
    before = tensors()
    for _ in range(2000):
        model.evidence(x, "all").check()
    assert tensors() == before
