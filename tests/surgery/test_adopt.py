"""Adopted networks: the same logits, evidence equal to brute force, the honest kind, and the model left alone."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import AdoptionError
from globalpool.surgery import AdoptedClassifier, adopt
from tests.evidence.test_no_side_effects import same, state
from tests.surgery.networks import CLASSES, WIDTH, Network, Tokens, build, linear, networks, traps
from tests.surgery.slow_graph import slow_evidence

NETWORKS, TRAPS = networks(), traps()


def pictures(samples: int = 3, height: int = 24, width: int = 24) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(samples, 3, height, width, generator=generator, dtype=torch.float64)


def check(classifier: AdoptedClassifier, model: nn.Module, x: Tensor) -> gp.Evidence:
    """Logits, completeness, chosen classes and brute force."""
    with torch.no_grad():
        assert_close(classifier(x), model(x), rtol=1e-12, atol=1e-12)
        evidence = classifier.evidence(x, "all").check()
        assert_close(evidence.logits, model(x), rtol=1e-12, atol=1e-12)
        best = classifier.evidence(x, "top2").check()
        assert_close(best.maps, evidence.select(best.classes).maps, rtol=0, atol=1e-12)
        for sample in range(2):
            maps, offset = slow_evidence(classifier, x[sample : sample + 1])
            assert_close(evidence.maps[sample].flatten(1), maps, rtol=0, atol=1e-11)
            assert_close(evidence.offset[sample], offset, rtol=0, atol=1e-11)
    return evidence


@pytest.mark.parametrize("name", NETWORKS)
def test_every_end_gives_its_logits_and_brute_force_maps(name: str) -> None:
    make, kind, pool = NETWORKS[name]
    model = build(make)
    classifier = adopt(model, pictures(2))
    evidence = check(classifier, model, pictures())
    assert (evidence.kind, classifier.pool.name) == (kind, pool)
    assert evidence.maps.shape[2:] == (6, 6)
    assert classifier.affine == (kind == "linear")
    assert classifier.proof is not None
    assert classifier.proof.difference < 1e-12
    assert classifier.proof.kind == kind
    if kind == "linear":
        assert (evidence.offset == evidence.offset[:1]).all()
        check_counterfactual(classifier, pictures(), evidence)


def check_counterfactual(classifier: AdoptedClassifier, x: Tensor, evidence: gp.Evidence) -> None:
    """ "linear" is a promise: zeroing positions of the features removes exactly their evidence."""
    with torch.no_grad():
        features, pool, tail = classifier._taken(x)
        gone = torch.zeros(features.shape[2:], dtype=torch.bool)
        gone.view(-1)[::3] = True
        without = tail(pool(torch.where(gone, 0.0, features)))
        assert_close(without, evidence.logits - (evidence.maps * gone).flatten(2).sum(2), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TRAPS)
def test_traps_give_complete_evidence_of_the_right_kind(name: str) -> None:
    make, kind = TRAPS[name]
    model = build(make)
    classifier = adopt(model, pictures(2))
    evidence = check(classifier, model, pictures())
    assert evidence.kind == kind != "linear"
    assert not classifier.affine
    assert evidence.maps.shape[2:] == (6, 6)  # of the whole picture, also where the pool leaves some of it out


def test_a_tail_that_adds_something_held_is_not_linear() -> None:
    """The offset then differs from sample to sample, and without a position it would be another one."""
    ends: list[Any] = [
        lambda m, x: m.fc(x.mean((2, 3))) - m.fc(x.mean((2, 3))).logsumexp(1, keepdim=True),
        lambda m, x: m.fc(x.mean((2, 3))) + x.mean((2, 3)).cumsum(1)[:, :CLASSES],
    ]
    for end in ends:
        classifier = adopt(build(lambda end=end: Network(end, fc=linear())), pictures(2))  # type: ignore[misc]
        assert classifier.evidence(pictures(), "all").check().kind == "gated"
        assert not classifier.affine


def test_log_probabilities_have_the_maps_of_the_scores_and_the_normaliser_in_the_offset() -> None:
    scores = adopt(build(NETWORKS["mean, linear"][0]), pictures(2)).evidence(pictures(), "all")
    logs = adopt(build(NETWORKS["log-probabilities"][0]), pictures(2)).evidence(pictures(), "all").check()
    assert_close(logs.maps, scores.maps, rtol=0, atol=1e-12)
    assert_close(scores.offset - logs.offset, scores.logits.logsumexp(1, keepdim=True).expand(-1, CLASSES))
    assert_close(logs.contrast(0, 2).offset, scores.contrast(0, 2).offset, rtol=0, atol=1e-12)
    with pytest.raises(AdoptionError, match="log_softmax over the samples"):
        adopt(build(lambda: Network(lambda m, x: m.fc(x.mean((2, 3))).log_softmax(0), fc=linear())), pictures(2))


def test_features_are_those_of_the_whole_picture() -> None:
    x = pictures()
    expectations: list[tuple[str, Any]] = [
        ("relu between class maps and pool", lambda m, f: m.maps(f).relu()),
        ("pool over a subset", lambda m, f: f),
        ("scale of each position", lambda m, f: f),
        ("weights from the features", lambda m, f: f),
    ]
    for name, expected in expectations:
        model: Any = build(TRAPS[name][0])
        with torch.no_grad():
            assert_close(adopt(model, pictures(2)).features(x), expected(model, model.trunk(x)))


def test_what_a_pool_leaves_out_gives_nothing_and_a_factor_is_a_weight() -> None:
    x = pictures()
    left = torch.zeros(6, 6, dtype=torch.bool)
    left[1:, :4] = True
    with torch.no_grad():
        maps = adopt(build(TRAPS["pool over a subset"][0]), pictures(2)).evidence(x, "all").maps
        assert (maps[:, :, ~left] == 0).all()
        assert (maps[:, :, left] != 0).all()
        model: Any = build(TRAPS["scale of each position, then a subset"][0])
        maps, features = adopt(model, pictures(2)).evidence(x, "all").maps, model.trunk(x)
        expected = torch.einsum("kc,nchw->nkhw", model.fc.weight, features) * model.scaled.scale / 24
        expected[..., :2] = 0
        assert_close(maps, expected, rtol=0, atol=1e-13)


def test_a_classifier_of_ours_is_taken_as_it_is() -> None:
    torch.manual_seed(0)
    own = gp.PooledClassifier(nn.Conv2d(3, 8, 3), gp.GeM(3.0), nn.Linear(8, 4), labels=("a", "b", "c", "d")).double()
    own.train()
    adopted = adopt(own, pictures(2).abs())
    assert isinstance(adopted.pool, gp.GeM)
    assert adopted.labels == own.labels
    assert own.training
    assert not adopted.training
    assert {id(p) for p in adopted.parameters()} == {id(p) for p in own.parameters()}
    with torch.no_grad():
        x = pictures(4, 17, 12).abs()
        assert torch.equal(adopted(x), own(x))
        expected, got = own.evidence(x, "all"), adopted.evidence(x, "all").check()
        assert torch.equal(got.maps, expected.maps)
        assert got.kind == expected.kind == "weighted"
        other = adopted.with_pool(gp.Mean())
        assert torch.equal(other(x), own.tail(own.trunk(x).mean((2, 3))))


@pytest.mark.parametrize("last", [nn.MaxPool2d(3), nn.AvgPool2d(3), nn.Conv2d(WIDTH, WIDTH, 3)])
def test_a_last_map_of_one_position_asks_for_a_larger_example(last: nn.Module) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, WIDTH, 8, 8), last, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), linear(4 * WIDTH)
    ).double()
    with pytest.raises(AdoptionError, match=r"a last feature map of two positions or more; got a single one before"):
        adopt(model, pictures(2))
    adopt(model, pictures(2, 64, 64)).evidence(pictures(2, 64, 64), "all").check()


def test_a_second_branch_is_in_the_offset_and_said() -> None:
    evidence = adopt(build(TRAPS["a second branch"][0]), pictures(2)).evidence(pictures(), "all")
    assert (evidence.offset != evidence.offset[:1]).any()
    assert (evidence.offset_share() != 0).any()
    model = build(
        lambda: Network(
            lambda m, x: m.a(x.mean((2, 3))) + m.b(m.trunk[0](x[:, :3]).amax((2, 3))), a=linear(), b=linear(6)
        )
    )
    assert [text.split()[0] for text in adopt(model, pictures(2)).also] == ["mean"]


def test_the_model_is_not_changed() -> None:
    model = build(NETWORKS["batch norm, two heads"][0]).train()
    model.trunk[1].eval()  # type: ignore[index, union-attr]
    model(pictures()).sum().backward()
    before, x = state(model), pictures(2)
    classifier = adopt(model, x)
    classifier.evidence(x, "all").check()
    assert same(before, state(model))
    assert not any(module.training for module in classifier.modules())
    with pytest.raises(AdoptionError):
        adopt(nn.Sequential(model, nn.Softmax(1)), x)
    assert same(before, state(model))
    own = {id(parameter) for parameter in model.parameters()}
    assert {id(parameter) for parameter in classifier.parameters()} == own
    classifier(x).sum().backward()  # through the shared parameters


def test_a_copy_is_independent_and_adds_up() -> None:
    model = build(NETWORKS["class token"][0])
    copy = deepcopy(adopt(model, pictures(2)))
    with torch.no_grad():
        before = model(pictures())
        for parameter in copy.parameters():
            parameter.mul_(1.1)
        copy.evidence(pictures(), "all").check()
        assert torch.equal(model(pictures()), before)


def test_other_batches_and_sizes() -> None:
    model = build(NETWORKS["norm, mlp"][0])
    classifier = adopt(model, pictures(1))
    assert classifier.proof is not None
    assert classifier.proof.inputs == ((2, 3, 24, 24), (3, 3, 24, 24), (2, 3, 48, 48))
    check(classifier, model, pictures(5, 40, 28))
    tokens = adopt(build(NETWORKS["class token"][0]), pictures(2))
    check(tokens, build(NETWORKS["class token"][0]), pictures(4))
    with pytest.raises(AdoptionError, match=r"inputs of length 24 along axis 2, the size the model was traced at; got"):
        tokens(pictures(2, 28, 24))


def test_tracing_stops_in_time_and_fixes_the_size() -> None:
    model = build(NETWORKS["norm, mlp"][0])
    classifier = adopt(model, pictures(2), seconds=0)
    check(classifier, model, pictures(4))
    with pytest.raises(AdoptionError, match="inputs of length 24 along axis 2"):
        classifier(pictures(2, 28, 24))


def test_layout_arguments_reach_an_ordinary_pool_and_are_refused_by_one_of_the_trunk() -> None:
    classifier = adopt(build(NETWORKS["mean, linear"][0]), pictures(2))
    mask = torch.rand(3, 6, 6) > 0.4
    evidence = classifier.evidence(pictures(), "all", mask=mask).check()
    assert (evidence.maps.movedim(1, 0)[:, ~mask] == 0).all()
    tokens = adopt(build(NETWORKS["class token"][0]), pictures(2))
    with pytest.raises(AdoptionError, match=r"expected no layout arguments; got mask\. This pool's weights are"):
        tokens.evidence(pictures(), mask=mask)


@pytest.mark.parametrize("name", ["class token", "two tokens, two heads", "class token, torch's layers"])
def test_positions_of_a_class_token_are_the_patches_in_their_places(name: str) -> None:
    model: Any = build(NETWORKS[name][0])
    extra, last, x = model.extra.shape[1], model.blocks[1], pictures()
    with torch.no_grad():
        tokens = torch.cat([model.extra.expand(3, -1, -1), model.patch(x).flatten(2).mT], 1) + model.place
        normed = last.norm1(model.blocks[0](tokens))
        packed = last.qkv(normed) if hasattr(last, "qkv") else normed @ last.self_attn.in_proj_weight.T
        values = packed[:, extra:, -WIDTH:]
        values = values if hasattr(last, "qkv") else values + last.self_attn.in_proj_bias[-WIDTH:]
        assert_close(adopt(model, pictures(2)).features(x), values.mT.unflatten(2, (6, 6)), rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "name", ["mean, linear", "norm, mlp", "own gate", "mean and maximum side by side", "regions, flat"]
)
def test_evidence_compiles_whole(name: str) -> None:
    torch._dynamo.reset()
    classifier = adopt(build(NETWORKS[name][0]), pictures(2))
    compiled = torch.compile(
        lambda x: (classifier(x), classifier.evidence(x, "all")), fullgraph=True, dynamic=True, backend="aot_eager"
    )
    with torch.no_grad():
        for x in (pictures(3), pictures(4, 32, 40)):
            logits, evidence = compiled(x)
            expected = classifier.evidence(x, "all")
            assert_close(logits, classifier(x), rtol=0, atol=1e-12)
            assert_close(evidence.maps, expected.maps, rtol=0, atol=1e-12)
            assert_close(evidence.offset, expected.offset, rtol=0, atol=1e-12)


def test_float32_and_half_keep_their_own_tolerance() -> None:
    for name in ("norm, mlp", "class token", "mean and maximum side by side"):
        model = build(NETWORKS[name][0]).float()
        classifier = adopt(model, pictures(2).float())
        with torch.no_grad():
            assert_close(classifier(pictures().float()), model(pictures().float()), rtol=1e-5, atol=1e-5)
        classifier.evidence(pictures().float(), "all").check()
    model = build(NETWORKS["norm, mlp"][0]).bfloat16()
    adopt(model, pictures(2).bfloat16()).evidence(pictures().bfloat16(), "all").check()


def test_the_logits_are_bit_equal_where_the_pooling_is_torchs_own() -> None:
    for name in ("mean, linear", "norm, mlp", "maximum", "regions, flat", "channels last"):
        model = build(NETWORKS[name][0]).float()
        with torch.no_grad():
            x = pictures().float()
            assert_close(adopt(model, x)(x), model(x), rtol=0, atol=0 if name != "regions, flat" else 1e-6)


class Returns(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.trunk, self.fc = how, nn.Conv2d(3, WIDTH, 4, 4), linear()

    def forward(self, x: Tensor) -> Any:
        x = self.trunk(x)
        logits = self.fc(x.mean((2, 3)))
        if self.how == "two":
            return logits, x
        if self.how == "map":
            return x
        if self.how == "values" and bool(x.sum() > 0):
            return -logits
        if self.how == "last":
            return self.fc(x.flatten(2)[:, :, -1])
        if self.how == "sorted":
            return self.fc(x.flatten(2).sort(2).values[:, :, 3])
        return self.fc(x.mean((2, 3))).softmax(1)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("two", r"adopt: expected a model that returns one tensor of logits; got 2 values\. Wrap it"),
        ("map", r"expected a model that gives logits \(N, K\); got \(2, 8, 6, 6\)"),
        ("values", r"expected a model that torch.export can trace in eval mode from one tensor; got"),
        ("last", r"expected pooling over positions, then a tail .*; got going back from the logits: conv2d"),
        ("sorted", r"going back from the logits: (select|sort|getitem)"),
        ("softmax", r"going back from the logits: softmax \(softmax\)\. This operation has no rule"),
    ],
)
def test_what_cannot_be_adopted_is_named(how: str, message: str) -> None:
    with pytest.raises(AdoptionError, match=message):
        adopt(Returns(how).double(), pictures(2))


def test_the_proof_refuses_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(NETWORKS["mean, linear"][0])
    with monkeypatch.context() as patch:
        patch.setattr(AdoptedClassifier, "forward", lambda self, x: model(x) * 1.001)
        with pytest.raises(
            AdoptionError, match=r"the model's logits to a relative 1e-12 for an input \(2, 3, 24, 24\)"
        ):
            adopt(model, pictures(2))
    with monkeypatch.context() as patch:
        patch.setattr(gp.Mean, "value", lambda self, features, layout, parts=None: layout.mean(features)[:, None] * 2)
        with pytest.raises(
            AdoptionError, match=r"logits and evidence for an input .* got Evidence.check: expected a resid"
        ):
            adopt(model, pictures(2))


def test_one_batch_size_only_is_refused() -> None:
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.fc = nn.Conv2d(3, WIDTH, 4, 4), linear()

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(self.trunk(x).mean((2, 3)))
            return logits * (2 if x.shape[0] == 2 else 3)

    with pytest.raises(AdoptionError, match=r"relative 1e-12 for an input \(3, 3, 24, 24\); got a difference of 0.333"):
        adopt(Pairs().double(), pictures(2))


def test_words_are_positions_too() -> None:
    torch.manual_seed(0)
    model: nn.Module = Words().double()
    words = torch.randint(0, 50, (4, 9), generator=torch.Generator().manual_seed(0))
    classifier = adopt(model, words)
    evidence = check(classifier, model, words)
    assert (evidence.kind, evidence.maps.shape) == ("linear", (4, CLASSES, 9))
    assert classifier.proof is not None
    assert classifier.proof.inputs[2] == (4, 18)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.fc = nn.Embedding(50, WIDTH), linear()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.words(x).mean(1))
        return logits


def test_an_example_is_a_batch() -> None:
    for wrong in (None, torch.zeros(3), torch.zeros(0, 3, 24, 24)):
        example: Any = wrong
        with pytest.raises(AdoptionError, match=r"`example_input` as a tensor \(N, ...\) with at least one sample"):
            adopt(nn.Linear(3, 2), example)


def test_signals_and_volumes() -> None:
    torch.manual_seed(0)
    signal = nn.Sequential(nn.Conv1d(2, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, CLASSES))
    volume = nn.Sequential(nn.Conv3d(2, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(2), nn.Flatten(), nn.Linear(48, CLASSES))
    for model, x in ((signal, torch.randn(2, 2, 20)), (volume, torch.randn(2, 2, 6, 7, 8))):
        classifier = adopt(model.double(), x.double())
        check(classifier, model, x.double())


def test_a_class_token_keeps_its_stream_out_of_the_maps() -> None:
    """Without attention to the patches the maps are nothing and the offset is the logit."""
    model: Any = build(lambda: Tokens(lambda m, x: m.fc(x[:, 0]), fc=linear()))
    with torch.no_grad():
        model.blocks[1].proj.weight.zero_()
    evidence = adopt(model, pictures(2)).evidence(pictures(), "all").check()
    assert evidence.maps.abs().max() == 0
    assert_close(evidence.offset_share(), torch.ones(CLASSES, dtype=torch.float64))


def test_a_mean_and_one_linear_layer_end_in_that_layer() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, 4))
    adopted = gp.adopt(model, torch.randn(2, 3, 9, 9))
    assert type(adopted.tail) is nn.Linear
    assert adopted.tail.weight is model[4].weight
    assert adopted.tail.bias is model[4].bias
