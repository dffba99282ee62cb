"""Mixup and CutMix of pictures: what timm did to them is what the labels say, and chance has one source."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.data.batch import Batch
from globalpool.errors import DataError, PoolError
from globalpool.training.draws import global_numpy, global_torch, numpy_random
from globalpool.training.objectives import BinaryCrossEntropy, CutMix, Mixup, Objective
from tests.training.objectives.recording import Recorder, batch_of, generator, small

SIZES = ((6, 12), (5, 8), (1, 9))


def pictures(dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    return tuple(torch.rand(n, 3, side, side, generator=generator(n), dtype=dtype) for n, side in SIZES)


def rows_of(batch: Batch, recorder: Recorder) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """A part, its mixed twin, its labels as rows, its mixed labels."""
    counts = [len(part) for part in batch.parts]
    shares = nn.functional.one_hot(batch.targets, 4).float() if batch.targets.ndim == 1 else batch.targets
    mixed = recorder.batch
    return list(zip(batch.parts, mixed.parts, shares.split(counts), mixed.targets.split(counts), strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_mixup_labels_follow_the_pictures(seed: int) -> None:
    batch, recorder = batch_of(pictures()), Recorder()
    before = [part.clone() for part in batch.parts]
    assert Mixup(1.0, then=recorder)(small(), batch, generator(seed)).logits is None
    for part, mixed, own, targets in rows_of(batch, recorder):
        last = len(part) - 1
        for i in range(len(part)):
            j = last - i if len(part) % 2 == 0 else [len(part) // 2, *range(last, 0, -1)][i]
            line = part[i] - part[j]
            share = 1.0 if i == j else float(((mixed[i] - part[j]) * line).sum() / line.square().sum())
            assert (share < 1 - 1e-6) == (i != j)
            assert_close(mixed[i], share * part[i] + (1 - share) * part[j], rtol=0, atol=1e-5)
            assert_close(targets[i], share * own[i] + (1 - share) * own[j], rtol=0, atol=1e-5)
    assert all(torch.equal(part, old) for part, old in zip(batch.parts, before, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_cutmix_labels_follow_the_area_the_box_really_took(seed: int) -> None:
    batch, recorder = batch_of(pictures()), Recorder()
    CutMix(then=recorder)(small(), batch, generator(seed))
    for part, mixed, own, targets in rows_of(batch, recorder):
        for i in range(len(part)):
            taken = (mixed[i] != part[i]).any(0)
            others = [j for j in range(len(part)) if j != i and bool((mixed[i] == part[j]).all(0)[taken].all())]
            if not bool(taken.any()):
                assert_close(targets[i], own[i])
                continue
            assert len(others) == 1
            rows, columns = np.nonzero(taken.numpy())
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # one box
            share = 1 - len(rows) / taken.numel()
            assert_close(targets[i], share * own[i] + (1 - share) * own[others[0]], rtol=0, atol=1e-6)


def test_cutmix_labels_by_evidence_are_the_masses_at_the_pictures_resolution() -> None:
    classifier, recorder = small(dtype=torch.float64), Recorder()
    batch = batch_of(pictures(torch.float64)[:1])
    seen = 0
    for seed in range(4):
        CutMix(label="evidence", then=recorder)(classifier, batch, generator(seed))
        ((part, mixed, own, targets),) = rows_of(batch, recorder)
        with torch.no_grad():
            features = classifier.features(part).double()
            weight = dict(classifier.named_parameters())["tail.weight"]
            cam = torch.einsum("kc,nchw->nkhw", weight, features) / features[0, 0].numel()
        wide = classifier.evidence(part, "all").upsample((12, 12))
        assert isinstance(wide, Tensor)
        assert_close(wide.detach().sum((2, 3)), cam.sum((2, 3)))
        for i in range(6):
            taken = (mixed[i] != part[i]).any(0)
            seen += int(taken.any())
            expected = torch.zeros(4)
            for j, where in ((i, ~taken), (5 - i, taken)):
                map_ = wide[j, int(batch.targets[j])].detach()
                risen = (map_ - map_.min()).tolist()
                total = sum(sum(line) for line in risen)
                inside = sum(risen[y][x] for y in range(12) for x in range(12) if bool(where[y, x]))
                expected += own[j] * inside / total
            assert_close(targets[i].float(), expected, rtol=0, atol=1e-5)
    assert seen > 6


@pytest.mark.parametrize("objective", [Mixup(1.0), CutMix(), CutMix(label="evidence")], ids=repr)
def test_the_generator_decides_all_and_global_chance_is_given_back(objective: Objective) -> None:
    classifier, batch = small(), batch_of(pictures()[:2])
    np.random.seed(4)  # noqa: NPY002
    torch.manual_seed(4)
    expected = float(np.random.random()), float(torch.rand(()))  # noqa: NPY002
    np.random.seed(4)  # noqa: NPY002
    torch.manual_seed(4)
    values = [float(objective(classifier, batch, generator(seed)).value.detach()) for seed in (1, 1, 2)]
    assert (float(np.random.random()), float(torch.rand(()))) == expected  # noqa: NPY002
    assert values[0] == values[1] != values[2]


def test_several_labels_are_mixed_each_for_itself() -> None:
    (part,) = pictures()[:1]
    batch = Batch((part,), torch.randint(0, 2, (6, 4), generator=generator()).float(), torch.arange(6))
    classifier, recorder = small(), Recorder()
    value = Mixup(1.0, then=BinaryCrossEntropy())(classifier, batch, generator(3)).value
    Mixup(1.0, then=recorder)(classifier, batch, generator(3))
    logits = classifier(recorder.batch.parts[0]).double()
    t = recorder.batch.targets.double()
    slow = -(t * logits.sigmoid().log() + (1 - t) * (1 - logits.sigmoid()).log()).mean()
    assert float(value.detach()) == pytest.approx(float(slow.detach()), rel=1e-5)


def test_the_classes_are_counted_by_labels_or_by_the_last_layer() -> None:
    tail = nn.Sequential(nn.Linear(8, 4), nn.LogSoftmax(1))
    classifier = gp.PooledClassifier(small().trunk, gp.Mean(), tail)
    batch = batch_of(pictures()[:1])
    with pytest.raises(PoolError, match="Mixup: expected a tail that is a Linear"):
        Mixup()(classifier, batch, generator())
    named = gp.PooledClassifier(small().trunk, gp.Mean(), tail, labels=["a", "b", "c", "d"])
    assert float(Mixup()(named, batch, generator()).value.detach()) > 0


def test_what_cannot_be_mixed_is_refused() -> None:
    with pytest.raises(PoolError, match="Mixup: expected `alpha` as a positive number; got -1"):
        Mixup(-1)
    with pytest.raises(PoolError, match="CutMix: expected `alpha` as a positive number; got nan"):
        CutMix(float("nan"))
    with pytest.raises(DataError, match=r"CutMix: expected pictures \(n, C, H, W\); got inputs \(2, 3, 5\). Feature"):
        CutMix()(small(), batch_of((torch.randn(2, 3, 5),)), generator())


def test_draws_differ_from_step_to_step_and_survive_an_error() -> None:
    random = generator()
    assert numpy_random(random).random() != numpy_random(random).random()
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError, match="by zero"), global_torch(random), global_numpy(random):
        torch.full((), 1 // int(torch.rand(())))
    assert torch.equal(torch.get_rng_state(), before)
