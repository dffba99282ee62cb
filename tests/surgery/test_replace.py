"""A pooled head in place of another: exact counts, tied layers, any size, modes, and the way back."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.models as zoo
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import AdoptionError, PoolError
from globalpool.surgery import PartCount
from tests.evidence.test_no_side_effects import same, state
from tests.surgery.networks import CLASSES, WIDTH, Network, Tokens, build, linear, mlp
from tests.surgery.test_adopt import pictures

# Name: (trunk, old head, other), after theory of torchvision's definitions, and the share of head and of all cut.
COUNTS: dict[str, tuple[tuple[int, int, int], int, tuple[str, str]]] = {
    "alexnet": ((2_469_696, 58_631_144, 0), 257_000, ("99.562%", "95.537%")),
    "vgg11": ((9_220_480, 123_642_856, 0), 513_000, ("99.585%", "92.674%")),
    "vgg16": ((14_714_688, 123_642_856, 0), 513_000, ("99.585%", "88.994%")),
    "vgg19": ((20_024_384, 123_642_856, 0), 513_000, ("99.585%", "85.705%")),
    "googlenet": ((5_599_904, 1_025_000, 6_379_984), 1_025_000, ("0.000%", "49.058%")),
    "resnet18": ((11_176_512, 513_000, 0), 513_000, ("0.000%", "0.000%")),
}
TOTALS = {
    "alexnet": (61_100_840, 2_726_696),
    "vgg11": (132_863_336, 9_733_480),
    "vgg16": (138_357_544, 15_227_688),
    "vgg19": (143_667_240, 20_537_384),
    "googlenet": (13_004_888, 6_624_904),
    "resnet18": (11_689_512, 11_689_512),
}


def on_meta(name: str, **settings: Any) -> tuple[nn.Module, Tensor]:
    with torch.device("meta"):
        return getattr(zoo, name)(**settings), torch.empty(1, 3, 96, 96)


@pytest.mark.parametrize("name", COUNTS)
def test_every_number_of_the_table(name: str) -> None:
    settings = {"init_weights": False} if name == "googlenet" else {}
    model, x = on_meta(name, **settings)
    (trunk, head, other), new, shares = COUNTS[name]
    classifier = gp.replace_head(model, gp.Mean(), 1000, x)
    record = classifier.replacement
    assert record.before == PartCount(trunk, 0, head, other)
    assert record.after == PartCount(trunk, 0, new)
    assert (record.before.total, record.after.total) == TOTALS[name]
    assert sum(own.numel() for own in model.parameters()) == record.before.total
    assert sum(own.numel() for own in classifier.parameters()) == record.after.total
    assert (f"{record.head_cut:.3%}", f"{record.total_cut:.3%}") == shares
    assert all(own.is_meta for own in classifier.parameters())
    cost = gp.cost(classifier, (3, 96, 96), runs=0)
    assert (cost["trunk"].parameters, cost["tail"].parameters) == (trunk, new)


def test_the_chapters_example() -> None:
    model, x = on_meta("vgg16")
    weights = [own for own in model.classifier.parameters() if own.ndim == 2]  # type: ignore[union-attr]
    assert weights[0].numel() == 7 * 7 * 512 * 4096 == 102_760_448
    tail: Any = gp.replace_head(model, gp.Mean(), 1000, x).tail
    assert tail.weight.numel() == 512_000


def test_googlenet_without_auxiliary_heads_has_the_same_record() -> None:
    model, x = on_meta("googlenet", init_weights=False, aux_logits=False)
    record = gp.replace_head(model, gp.Mean(), 1000, x).replacement
    assert (record.before.total, record.before.other, record.after.total) == (6_624_904, 0, 6_624_904)


def test_the_record_is_a_table() -> None:
    model, x = on_meta("alexnet")
    assert str(gp.replace_head(model, gp.Mean(), 1000, x).replacement) == "\n".join(
        [
            "           before      after  cut",
            "trunk   2,469,696  2,469,696",
            "pool            0          0",
            "tail   58,631,144    257,000  99.562% with pool",
            "other           0          0",
            "total  61,100,840  2,726,696  95.537%",
        ]
    )


def convolutions() -> list[nn.Module]:
    return [
        nn.Conv2d(3, 6, 3, 2, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, WIDTH, 3, 2, 1),
        nn.ReLU(inplace=True),
    ]


def flat(adaptive: bool = True, sides: int = 6) -> nn.Sequential:
    """Convolutions, (adaptive pool,) flatten, dropout, fully connected layers; float64, trained statistics."""
    pool = [nn.AdaptiveAvgPool2d((sides, sides))] if adaptive else []
    end = [nn.Dropout(0.5), nn.Linear(WIDTH * sides**2, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, CLASSES)]
    model = build(lambda: nn.Sequential(*convolutions(), *pool, nn.Flatten(), *end))
    assert isinstance(model, nn.Sequential)
    return model


@pytest.mark.parametrize("adaptive", [True, False])
def test_a_flatten_layer_with_tied_weights_is_the_pooled_head(adaptive: bool) -> None:
    pool = [nn.AdaptiveAvgPool2d(6)] if adaptive else []
    model: Any = build(lambda: nn.Sequential(*convolutions(), *pool, nn.Flatten(), nn.Linear(WIDTH * 36, CLASSES)))
    classifier = gp.replace_head(model, gp.Mean(), CLASSES, pictures(2))
    tail: Any = classifier.tail
    with torch.no_grad():
        tied = (
            tail.weight[:, :, None].expand(-1, -1, 36) / 36
        )  # W[k, c, i, j] = w[k, c] / N; channel-major as flattened
        model[-1].weight.copy_(tied.flatten(1))
        model[-1].bias.copy_(tail.bias)
        assert_close(classifier(pictures()), model(pictures()), rtol=0, atol=1e-12)
        model[-1].weight[0, 0] += 1  # untied, it is another function
        assert (classifier(pictures()) - model(pictures())).abs().max() > 1e-3


def test_a_pointwise_convolution_and_the_mean_commute() -> None:
    classifier = gp.replace_head(flat(), gp.Mean(), CLASSES, pictures(2))
    tail: Any = classifier.tail
    with torch.no_grad():
        maps = nn.functional.conv2d(classifier.features(pictures()), tail.weight[:, :, None, None], tail.bias)
        assert_close(classifier(pictures()), maps.mean((2, 3)), rtol=0, atol=1e-12)
        assert (maps.relu().mean((2, 3)) - classifier(pictures())).abs().max() > 1e-3  # not with a ReLU between them


@pytest.mark.parametrize("adaptive", [True, False])
def test_the_trunk_ends_before_the_fixed_pool_and_takes_any_size(adaptive: bool) -> None:
    model = flat(adaptive)
    classifier = gp.replace_head(model, gp.Mean(), 7, pictures(1))
    assert (classifier.replacement.trunk, classifier.resolution) == ("modules", (6, 6))
    for height, width in ((24, 24), (16, 40), (5, 9), (64, 32)):
        x = pictures(2, height, width)
        with torch.no_grad():
            assert_close(classifier.features(x), model[:5](x), rtol=0, atol=0)
        assert classifier.features(x).shape[2:] == (-(-height // 4), -(-width // 4))
        assert classifier(x).shape == (2, 7)
        classifier.evidence(x, "all").check()


def test_activations_that_do_nothing_at_the_example_stay_in_the_trunk() -> None:
    model = build(
        lambda: nn.Sequential(
            nn.Conv2d(3, WIDTH, 3), nn.Sigmoid(), nn.Hardtanh(-1, 1), nn.ReLU6(), nn.Flatten(), linear(WIDTH * 36)
        )
    )
    small = build(
        lambda: nn.Sequential(nn.Conv2d(3, WIDTH, 3), nn.ReLU(), nn.ReLU6(), nn.Flatten(), linear(WIDTH * 36))
    )
    for network, end in ((model, 2), (small, 3)):
        classifier = gp.replace_head(network, gp.Mean(), CLASSES, pictures(2, 8, 8) * 0.01)
        x = pictures(2, 8, 8) * 100
        with torch.no_grad():
            assert_close(classifier.features(x), network[:end](x), rtol=0, atol=0)  # type: ignore[index]


ENDS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "mean, linear": (lambda: Network(lambda m, x: m.fc(x.mean((2, 3))), fc=linear()), "modules"),
    "mean, mlp": (lambda: Network(lambda m, x: m.fc(x.mean((2, 3))), fc=mlp()), "modules"),
    "channels last": (
        lambda: Network(lambda m, x: m.fc(x.permute(0, 2, 3, 1).mean((1, 2))), fc=linear()),
        "modules",
    ),
    "tokens": (lambda: Tokens(lambda m, x: m.fc(x[:, 1:].mean(1)), fc=linear()), "operations"),
    "class token": (lambda: Tokens(lambda m, x: m.fc(x[:, 0]), fc=linear()), "operations"),
}


@pytest.mark.parametrize("name", ENDS)
def test_any_adopted_head_is_replaced(name: str) -> None:
    make, made_of = ENDS[name]
    model = build(make)
    before = state(model)
    classifier = gp.replace_head(model, gp.Max(), 7, pictures(2))
    assert classifier.replacement.trunk == made_of
    with torch.no_grad():
        assert_close(classifier.features(pictures()), gp.adopt(model, pictures(2)).features(pictures()))
    assert classifier(pictures()).shape == (3, 7)
    after = state(model) | {"random": before["random"]}  # the new layer is random
    assert same(before, after)
    own = {id(parameter) for parameter in model.parameters()}
    assert {id(parameter) for parameter in classifier.trunk.parameters()} <= own
    (gradient,) = torch.autograd.grad(classifier(pictures()).sum(), [next(classifier.trunk.parameters())])
    assert gradient.abs().sum() > 0


def test_the_width_is_the_pools() -> None:
    model = flat()
    pools: list[tuple[gp.Pool, int]] = [
        (gp.Mean(), 1),
        (gp.Concat(gp.Mean(), gp.Max()), 2),
        (gp.Grid(2, 2), 4),
        (gp.Statistics(), 2),
        (gp.Attention(WIDTH, heads=3), 3),
        (gp.Mean(dim=-1), 6),
    ]
    for pool, times in pools:
        classifier = gp.replace_head(model, pool, CLASSES, pictures(2))
        tail: Any = classifier.tail
        assert tail.in_features == WIDTH * times
        assert classifier(pictures()).shape == (3, CLASSES)
    assert gp.replace_head(model, gp.Attention(WIDTH), CLASSES, pictures(2)).replacement.after.pool == WIDTH


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtype_mode_and_freezing_follow_the_old_head(training: bool, dtype: torch.dtype) -> None:
    model = flat().to(dtype).train(training)
    model[-1].train(not training)
    model[1].train(not training)
    for part in (model[0], *list(model)[-4:]):
        part.requires_grad_(False)
    classifier = gp.replace_head(model, gp.Attention(WIDTH), 7, pictures(2).to(dtype), dropout=0.25)
    drop, layer = list(classifier.tail.children())
    assert isinstance(layer, nn.Linear)
    assert layer.weight.dtype == dtype
    assert not layer.weight.requires_grad
    parts = [classifier, classifier.pool, classifier.tail, drop, layer]
    assert [part.training for part in parts] == [not training] * 5
    assert isinstance(drop, nn.Dropout)
    assert drop.p == 0.25
    trunk: Any = classifier.trunk
    assert trunk.training is training
    assert [part.training for part in trunk.children()] == [training, not training, training, training, training]
    assert [own.requires_grad for own in trunk.parameters()] == [False, False, True, True, True, True]
    tail: Any = gp.replace_head(model.requires_grad_(True), gp.Mean(), 7, pictures(2).to(dtype)).tail
    assert tail.weight.requires_grad


def test_norms_of_the_trunk_learn_as_in_the_model_and_modes_are_its_own() -> None:
    model = flat().train()
    classifier = gp.replace_head(model, gp.Mean(), 7, pictures(2))
    norm: Any = model[1]
    before = norm.running_mean.clone()
    classifier.eval()
    classifier(pictures())
    assert model.training
    assert norm.training
    assert_close(norm.running_mean, before, rtol=0, atol=0)
    classifier.train()(pictures())
    assert not torch.equal(norm.running_mean, before)


def test_dropout_of_the_old_head_goes_with_it() -> None:
    classifier = gp.replace_head(flat().train(), gp.Mean(), 7, pictures(2))
    assert not any(isinstance(module, nn.Dropout) for module in classifier.modules())
    assert_close(classifier(pictures()), classifier(pictures()), rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_undo_is_bit_identical_also_after_training(training: bool) -> None:
    model = flat().train(training)
    model[0].requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained = {name: own.requires_grad for name, own in model.named_parameters()}
    with torch.no_grad():
        logits = model.eval()(pictures())
    model.train(training)
    classifier = gp.replace_head(model, gp.Mean(), 7, pictures(2))
    classifier.train().requires_grad_(True)
    step = torch.optim.SGD(classifier.parameters(), 0.5)
    classifier(pictures()).square().sum().backward()
    step.step()
    assert not torch.equal(model.state_dict()["3.weight"], before["3.weight"])
    model.train(not training)
    assert classifier.undo() is model
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert {name: own.requires_grad for name, own in model.named_parameters()} == trained
    assert all(module.training is training for module in model.modules())
    with torch.no_grad():
        assert torch.equal(model.eval()(pictures()), logits)


def test_undo_also_takes_back_a_cast() -> None:
    model = flat()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    classifier = gp.replace_head(model, gp.Mean(), 7, pictures(2))
    classifier.half()
    undone = classifier.undo().state_dict()
    assert all(torch.equal(undone[name], before[name]) and undone[name].dtype == before[name].dtype for name in before)


def test_state_dict_round_trip() -> None:
    first = gp.replace_head(flat(), gp.Attention(WIDTH), 7, pictures(2))
    second = gp.replace_head(build(lambda: flat()), gp.Attention(WIDTH), 7, pictures(2))
    with torch.no_grad():
        for own in first.parameters():
            own.add_(0.1)
    second.load_state_dict(first.state_dict())
    assert {name.split(".")[0] for name in first.state_dict()} == {"trunk", "pool", "tail"}
    assert torch.equal(first(pictures()), second(pictures()))


def test_the_new_head_can_be_fitted() -> None:
    classifier = gp.replace_head(flat(), gp.Mean(), 2, pictures(2))
    x = pictures(40)
    with torch.no_grad():
        y = (classifier.pool(classifier.features(x))[:, 3] > 0.96).long()
    assert gp.fit_head(classifier, [(x, y)], strength=1e-6).accuracy is None
    with torch.no_grad():
        assert (classifier(x).argmax(1) == y).double().mean() > 0.8


def test_what_is_refused_and_why() -> None:
    model, x = flat(), pictures(2)
    with pytest.raises(PoolError, match=r"`pool` to be an instance of globalpool\.Pool; got the class Mean"):
        gp.replace_head(model, gp.Mean, 7, x)  # type: ignore[arg-type]
    for number in (0, -1, True, 2.0):
        with pytest.raises(PoolError, match=f"`num_classes` as a positive integer; got {number}"):
            gp.replace_head(model, gp.Mean(), number, x)  # type: ignore[arg-type]
    with pytest.raises(PoolError, match=r"`dropout` from 0 to below 1; got 1\.0"):
        gp.replace_head(model, gp.Mean(), 7, x, dropout=1.0)
    with pytest.raises(AdoptionError, match=r"replace_head: expected `example_input` as a tensor .* got shape \(0, 3"):
        gp.replace_head(model, gp.Mean(), 7, x[:0])
    with pytest.raises(PoolError, match="called with the features alone; got Clusters"):
        gp.replace_head(model, gp.Clusters(gp.Mean(), gp.Max()), 7, x)
    with pytest.raises(AdoptionError, match="expected pooling over positions"):
        gp.replace_head(nn.Sequential(nn.Linear(4, 3)), gp.Mean(), 7, torch.ones(2, 4))
