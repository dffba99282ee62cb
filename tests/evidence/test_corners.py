"""Corners where evidence once explained another function, changed the model or gave up."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import EvidenceError
from globalpool.evidence import account, affine_map
from tests.evidence.test_no_side_effects import same, state


class Tenfold(nn.Sequential):
    def forward(self, input: Tensor) -> Tensor:
        logits: Tensor = self[0](input)
        return 10 * logits


class Cosine(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(nn.functional.normalize(input), nn.functional.normalize(self.weight))


@pytest.mark.parametrize("tail", [Tenfold(nn.Linear(8, 3)), Cosine(8, 3), nn.Sequential(Cosine(8, 3))])
def test_a_layer_with_a_forward_of_its_own_is_not_taken_for_its_parent(tail: nn.Module) -> None:
    classifier = gp.PooledClassifier(nn.Identity(), gp.Mean(), tail)
    assert not classifier.affine
    with pytest.raises(EvidenceError, match=r"or a forward of its own, the logit is not a sum over positions"):
        classifier.evidence(torch.rand(2, 8, 5, 5))


def test_a_parametrised_layer_is_the_linear_layer_it_computes() -> None:
    tail = nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))
    classifier = gp.PooledClassifier(nn.Identity(), gp.Mean(), tail).eval()
    x = torch.rand(2, 8, 5, 5)
    assert_close(classifier.evidence(x, "all").check().logits, classifier(x))


class Scorer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dropout, self.linear = nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)

    def forward(self, vectors: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.dropout(self.norm(vectors.reshape(-1, 8))))
        return scores.reshape(*vectors.shape[:-1], 1)


def test_a_pool_with_dropout_and_batchnorm_is_explained_in_eval_mode_and_left_alone() -> None:
    tail = nn.Sequential(nn.BatchNorm1d(8), nn.utils.parametrizations.spectral_norm(nn.Linear(8, 3)))
    models: list[Any] = [
        gp.PooledHead(gp.Attention(8, content=Scorer()), 8, 3),
        gp.PooledClassifier(nn.BatchNorm2d(8), gp.Attention(8, content=Scorer()), tail),
    ]
    x = torch.rand(4, 8, 5, 5)
    for model in models:
        model.train()
        before = state(model)
        first, second = model.evidence(x, "all").check(), model.evidence(x, "all").check()
        assert same(before, state(model))
        assert torch.equal(first.logits, second.logits)
        model.eval()
        assert torch.equal(first.logits, model(x))


@pytest.mark.parametrize("seed", range(10))
def test_batchnorm_with_large_statistics_adds_up_and_costs_no_matrix(seed: int) -> None:
    torch.manual_seed(seed)
    norm = nn.BatchNorm1d(64)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.fill_(1e4)
    norm.running_var.fill_(1e-4)
    classifier = gp.PooledClassifier(nn.Identity(), gp.Mean(), nn.Sequential(norm, nn.Linear(64, 10))).eval()
    x = 1e4 + 1e-2 * torch.randn(4, 64, 1, 1, generator=torch.Generator().manual_seed(0))
    for classes in ("all", "top1"):
        evidence = classifier.evidence(x, classes).check()
        assert torch.equal(evidence.logits, classifier(x).gather(1, evidence.classes))
    # ... and a bias forgotten in the offset is still seen, where it is not below the rounding of float32.
    broken = replace(evidence, offset=evidence.offset + 100)
    with pytest.raises(EvidenceError, match="a residual of at most"):
        broken.check()


def test_chains_of_norms_and_linears_compose_in_order() -> None:
    torch.manual_seed(0)
    parts = [
        nn.BatchNorm1d(4),
        nn.BatchNorm1d(4),
        nn.Linear(4, 6),
        nn.BatchNorm1d(6),
        nn.Linear(6, 3),
        nn.BatchNorm1d(3),
    ]
    tail = nn.Sequential(*parts).double()
    for _ in range(3):
        tail(torch.randn(20, 4, dtype=torch.float64) * 3 + 1)
    tail.eval()
    line, v = affine_map(tail), torch.randn(5, 4, dtype=torch.float64)
    assert_close(v @ line.weight.T + line.bias, tail(v), rtol=0, atol=1e-12)
    with pytest.raises(EvidenceError, match="expected a tail with at least one Linear layer; got Sequential"):
        affine_map(nn.Sequential(nn.BatchNorm1d(4)))


@pytest.mark.parametrize(
    ("features", "tail"), [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float64")]
)
def test_the_weakest_dtype_of_the_chain_sets_the_tolerance(features: str, tail: str) -> None:
    torch.manual_seed(0)
    for pool in (gp.Mean(), gp.GeM(), gp.LogMeanExp(), gp.Grid(2, 2)):
        head = gp.PooledHead(pool, pool.out_features(16), 5).to(getattr(torch, tail))
        head.evidence(torch.rand(4, 16, 7, 7).to(getattr(torch, features)), "all").check()


def test_differences_are_held_to_the_numbers_they_are_differences_of() -> None:
    torch.manual_seed(0)
    head = gp.PooledHead(gp.Mean(), 64, 5)
    with torch.no_grad():
        head.tail.weight.add_(100 * torch.randn(64))
    evidence = head.evidence(torch.rand(8, 64, 7, 7), "all").check()
    evidence.contrast(0, 1).check()
    evidence.centered().check()
    evidence.centered().select(torch.tensor([1] * 8)).check()


def test_no_sample_and_no_class() -> None:
    for pool in (gp.Mean(), gp.Grid(2, 2), gp.LogMeanExp()):
        head = gp.PooledHead(pool, pool.out_features(3), 5)
        questions: list[Any] = ["top1", "all", 2, torch.zeros(0, dtype=torch.long)]
        for classes in questions:
            evidence = head.evidence(torch.rand(0, 3, 4, 4), classes).check()
            assert evidence.maps.shape[0] == 0
            maps = evidence.upsample(8)
            assert isinstance(maps, Tensor)
            assert maps.shape[2:] == (8, 8)
        none = head.evidence(torch.rand(2, 3, 4, 4), torch.zeros(2, 0, dtype=torch.long)).check()
        assert none.maps.shape == (2, 0, 4, 4)


def test_empty_samples_can_be_upsampled() -> None:
    head = gp.PooledHead(gp.Mean(), 3, 5)
    assert torch.as_tensor(head.evidence(torch.rand(2, 3, 0, 4), "all").upsample(9)).abs().sum() == 0
    assert (gp.Mean()(torch.rand(2, 3, 0), lengths=torch.tensor([0, 0])) == 0).all()
    shapes = torch.tensor([[2, 2], [0, 0], [1, 2]])
    pictures = head.evidence(torch.rand(6, 3), "all", ptr=torch.tensor([0, 4, 4, 6]), shapes=shapes).upsample(8)
    assert [tuple(picture.shape) for picture in pictures] == [(5, 8, 8)] * 3
    assert pictures[1].abs().sum() == 0
    sizes = torch.tensor([[0, 0], [4, 4]])
    maps = head.evidence(torch.rand(2, 3, 4, 4), "all", sizes=sizes).upsample(8, sizes=2 * sizes)
    assert maps[0].abs().sum() == 0
    assert maps[1].abs().sum() > 0


def test_ids_that_are_none() -> None:
    evidence = gp.PooledHead(gp.Mean(), 3, 5).evidence(torch.rand(2, 3, 4), "all")
    assert torch.equal(evidence.contrast(torch.tensor(2), 0).maps, evidence.contrast(2, 0).maps)
    wrong: list[Any] = [torch.tensor([1, 2, 3]), [1, 2], torch.tensor([1.0, 2.0]), True, torch.zeros(2, 2).long()]
    for ids in wrong:
        with pytest.raises(
            EvidenceError, match=r"Evidence.contrast: expected an id, or one a sample as integers \(2,\)"
        ):
            evidence.contrast(ids, 0)
    yes: Any = True
    with pytest.raises(EvidenceError, match="got bool"):
        gp.PooledHead(gp.Mean(), 3, 5).evidence(torch.rand(2, 3, 4), yes)


def test_features_that_cancel_between_channels_are_no_false_alarm() -> None:
    """Large features under a tail that cancels them leave small maps; the roundings are those of the large terms."""
    generator = torch.Generator().manual_seed(0)
    level = 300 * torch.randn(64, 1, 1, generator=generator)
    x = level + torch.randn(4, 64, 7, 7, generator=generator)
    weight = torch.randn(200, 64, generator=generator) / 8
    weight -= (weight @ level.flatten() / level.square().sum())[:, None] * level.flatten()
    for tail in (nn.Linear(64, 200), nn.Sequential(nn.Linear(64, 200), nn.LeakyReLU())):
        layer: Any = tail if isinstance(tail, nn.Linear) else tail[0]
        layer.weight = nn.Parameter(weight)
        evidence = account(gp.Mean(), tail, x, "all").check()
        loose = (evidence.residual() > 1e-5 * evidence.layout.sum_samples(evidence.maps.abs()).clamp(min=1)).any()
        assert loose  # against the maps alone it would have been one
        with pytest.raises(EvidenceError, match="a residual of at most"):
            replace(evidence, maps=evidence.maps * 2).check()
