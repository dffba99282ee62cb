"""Mixing at the feature map: what an affine head makes of it, by loops that share no code with the library."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import DataError, PoolError
from globalpool.training.boxes import Border, box_mask, drawn_box, every_box
from globalpool.training.interpolation_gap import interpolation_gap
from globalpool.training.objectives import CrossEntropy, FeatureCutMix, FeatureMixup
from globalpool.training.pairing import by_area, by_evidence, evidence_mass
from tests.training.objectives.recording import Recorder, batch_of, generator, small

AFFINE = [gp.Mean(), gp.Sum(), gp.ScaledSum(0.5), gp.Grid(2, 2), gp.Pyramid((1, 2))]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def head(pool: gp.Pool, dtype: torch.dtype, tail: nn.Module | None = None) -> gp.PooledClassifier:
    """A head of fixed random weights, without gradients."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        tail = nn.Linear(pool.out_features(6), 4) if tail is None else tail
    return gp.PooledClassifier(nn.Identity(), pool, tail).to(dtype).eval().requires_grad_(False)


def maps(count: int, dtype: torch.dtype = torch.float64, seed: int = 2, size: tuple[int, ...] = (5, 7)) -> Tensor:
    return torch.randn(count, 6, *size, generator=generator(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("pool", AFFINE, ids=lambda pool: pool.name)
def test_logits_of_mixed_features_are_mixed_logits_at_100_shares(pool: gp.Pool, dtype: torch.dtype) -> None:
    classifier = head(pool, dtype)
    shares = torch.rand(100, generator=generator(), dtype=torch.float64).tolist()
    gap = interpolation_gap(classifier, maps(4, dtype), maps(4, dtype, seed=9), shares=shares, at="features")
    assert classifier.affine
    assert gap.residual.shape == (100, 4)
    scale = max(1.0, float(gap.difference.max()))  # Sum's logits are 35 times those of Mean
    assert gap.largest <= TOLERANCE[dtype] * scale


def test_a_relu_between_mix_and_logits_leaves_a_residual_that_is_reported() -> None:
    classifier = small(dtype=torch.float64)
    first, second = torch.randn(2, 8, 3, 12, 12, generator=generator(), dtype=torch.float64).unbind()
    at_input = interpolation_gap(classifier, first, second)
    at_features = interpolation_gap(classifier, first, second, at="features")
    assert at_input.largest > 1e-3
    assert 0.01 < at_input.relative < 1
    assert at_features.largest < 1e-12
    ends = [classifier(x).detach().numpy() for x in (first, second)]
    for row, share in enumerate(at_input.shares):
        mixed = classifier(share * first + (1 - share) * second).detach().numpy()
        for sample in range(8):
            gaps = [
                abs(mixed[sample, k] - share * ends[0][sample, k] - (1 - share) * ends[1][sample, k]) for k in range(4)
            ]
            assert float(at_input.residual[row, sample]) == pytest.approx(max(gaps), rel=1e-9)


def test_the_input_gap_of_an_affine_network_is_rounding() -> None:
    trunk = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)).double()
    classifier = gp.PooledClassifier(trunk, gp.Mean(), nn.Linear(6, 4).double()).train()
    first, second = torch.randn(2, 8, 3, 9, 9, generator=generator(), dtype=torch.float64).unbind()
    assert interpolation_gap(classifier, first, second).largest < 1e-12
    assert all(part.training for part in classifier.modules())  # given back
    assert dict(trunk.named_buffers())["1.num_batches_tracked"].item() == 0


def test_a_hidden_layer_in_the_head_is_not_affine() -> None:
    tail = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4))
    gap = interpolation_gap(head(gp.Mean(), torch.float64, tail), maps(8), maps(8, seed=9), at="features")
    assert gap.largest > 1e-3


def test_what_has_no_gap_is_refused() -> None:
    with pytest.raises(
        DataError, match="two batches of one shape, not empty; got \\(2, 6, 5, 7\\) and \\(3, 6, 5, 7\\)"
    ):
        interpolation_gap(head(gp.Mean(), torch.float64), maps(2), maps(3))
    with pytest.raises(DataError, match="at least one share between 0 and 1; got none"):
        interpolation_gap(head(gp.Mean(), torch.float64), maps(2), maps(2), shares=())
    with pytest.raises(DataError, match='`at` to be "input" or "features"; got \'middle\''):
        interpolation_gap(head(gp.Mean(), torch.float64), maps(2), maps(2), at="middle")  # type: ignore[arg-type]


@pytest.mark.parametrize("border", ["clip", "wrap"])
@pytest.mark.parametrize("size", [(8,), (5, 7), (3, 4, 5)])
def test_a_box_covers_what_a_loop_covers(size: tuple[int, ...], border: Border) -> None:
    lengths = [side // 2 + 1 for side in size]
    for centre in itertools.product(*map(range, size)):
        mask = box_mask(size, centre, lengths, border)
        for place in itertools.product(*map(range, size)):
            covered = True
            for own, middle, length, side in zip(place, centre, lengths, size, strict=True):
                run = [middle - length // 2 + step for step in range(length)]
                covered &= own in ([at % side for at in run] if border == "wrap" else run)
            assert bool(mask[place]) == covered


def test_clipped_boxes_cover_the_edge_less() -> None:
    # Theory 10: 8 positions, boxes of 4.
    assert every_box((8,), (4,), "clip").sum(0).tolist() == [3, 4, 4, 4, 4, 4, 3, 2]
    assert every_box((8,), (4,), "wrap").sum(0).tolist() == [4] * 8


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("pool", AFFINE, ids=lambda pool: pool.name)
def test_a_pasted_logit_is_the_bias_and_the_evidence_of_both(pool: gp.Pool, dtype: torch.dtype) -> None:
    classifier = head(pool, dtype)
    first, second = maps(3, dtype), maps(3, dtype, seed=9)
    own, other = (classifier.evidence(x, "all").check().detach() for x in (first, second))
    random = np.random.default_rng(0)
    for _ in range(20):
        mask = drawn_box((5, 7), float(random.random()), "clip", random)
        logits = classifier(torch.where(mask, second, first)).detach()
        for sample, k in itertools.product(range(3), range(4)):
            expected = float(own.offset[sample, k])
            for place in itertools.product(range(5), range(7)):
                source = other if bool(mask[place]) else own
                expected += float(source.maps[(sample, k, *place)])
            size = max(1.0, float(own.size()[sample, k]), float(other.size()[sample, k]))
            assert abs(float(logits[sample, k]) - expected) <= TOLERANCE[dtype] * size


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=str)
def test_over_all_circular_places_of_a_box_the_logits_average_to_the_mix_by_area(
    dtype: torch.dtype, tolerance: float
) -> None:
    classifier = head(gp.Mean(), dtype)
    first, second = maps(1, dtype), maps(1, dtype, seed=9)
    off = {}
    borders: tuple[Border, ...] = ("wrap", "clip")
    for border in borders:
        masks = every_box((5, 7), (3, 4), border)
        mean = classifier(torch.where(masks[:, None], second, first)).mean(0)
        share = 1 - float(masks.double().mean())
        off[border] = float((mean - share * classifier(first)[0] - (1 - share) * classifier(second)[0]).abs().max())
    assert off["wrap"] <= tolerance
    assert off["clip"] > 1e-3


@pytest.mark.parametrize("border", ["clip", "wrap"])
def test_the_share_is_what_the_box_took(border: Border) -> None:
    random = np.random.default_rng(1)
    wished, taken = [], []
    for _ in range(200):
        share = float(random.random())
        mask = drawn_box((7, 5), share, border, random)
        weights = by_area(torch.tensor([0]), mask)
        count = sum(1 for row in mask.tolist() for cell in row if cell)
        assert float(weights.own) == pytest.approx(1 - count / 35, abs=1e-7)
        assert float(weights.own + weights.other) == 1
        wished.append(share)
        taken.append(1 - count / 35)
    whole = [1 - int(math.sqrt(1 - share) * 7) * int(math.sqrt(1 - share) * 5) / 35 for share in wished]
    clipped = [own - full for own, full in zip(taken, whole, strict=True)]
    assert min(clipped) >= -1e-9
    assert (max(clipped) > 0.1) == (border == "clip")


def test_evidence_mass_is_the_rise_above_the_least_value() -> None:
    evidence = maps(2)[:, :3]
    evidence[1, 2] = 4.0  # flat
    mass = evidence_mass(evidence)
    for sample, k in itertools.product(range(2), range(3)):
        values = evidence[sample, k].flatten().tolist()
        total = sum(value - min(values) for value in values)
        expected = [(value - min(values)) / total if total else 1 / 35 for value in values]
        assert mass[sample, k].flatten().tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_labels_by_evidence_are_the_masses_that_stay_and_come(shared: bool) -> None:
    classifier, recorder = head(gp.Mean(), torch.float64), Recorder()
    features = maps(5)
    batch = batch_of((features,))
    if shared:
        rows = torch.rand(5, 4, generator=generator(), dtype=torch.float64)
        batch = type(batch)(batch.parts, rows / rows.sum(1, keepdim=True), batch.indices)
    FeatureCutMix(label="evidence", then=recorder)(classifier, batch, generator(7))
    mixed, targets = recorder.batch.parts[0], recorder.batch.targets
    own = batch.targets if shared else nn.functional.one_hot(batch.targets, 4).double()
    weight = dict(classifier.named_parameters())["tail.weight"].detach()
    cams = torch.einsum("kc,nchw->nkhw", weight, features) / 35
    for i in range(5):
        same = (mixed[i] == features[i]).all(0)
        j_other = next(j for j in range(5) if bool(((mixed[i] == features[j]).all(0) | same).all()) and j != i)
        for k in range(4):
            expected = 0.0
            for j, where in ((i, same), (j_other, ~same)):
                values = cams[j, k]
                expected += float(own[j, k] * (values - values.min())[where].sum() / (values - values.min()).sum())
            assert float(targets[i, k]) == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_feature_mixup_trains_on_mixed_logits_and_labels() -> None:
    classifier, recorder = small(dtype=torch.float64).requires_grad_(False), Recorder()
    parts = tuple(torch.randn(n, 3, s, s, generator=generator(n), dtype=torch.float64) for n, s in ((4, 12), (3, 8)))
    batch = batch_of(parts)
    loss = FeatureMixup(alpha=1.0, then=recorder)(classifier, batch, generator(5))
    assert loss.logits is None
    start, total = 0, 0.0
    for part, mixed in zip(parts, recorder.batch.parts, strict=True):
        rows = recorder.batch.targets[start : start + len(part)]
        plain = classifier(part)
        own = nn.functional.one_hot(batch.targets[start : start + len(part)], 4).double()
        features = classifier.features(part)
        for i in range(len(part)):
            # Share and partner are read off the features; labels and logits must follow them.
            j, share = found(features, mixed[i], i)
            assert_close(rows[i].double(), share * own[i] + (1 - share) * own[j], rtol=0, atol=1e-6)
            logits = share * plain[i] + (1 - share) * plain[j]
            total -= float((rows[i].double() * logits.log_softmax(0)).sum())
        start += len(part)
    assert float(loss.value) == pytest.approx(total / 7, rel=1e-6)


def found(features: Tensor, mixed: Tensor, own: int) -> tuple[int, float]:
    best = (own, 1.0, float((mixed - features[own]).abs().max()))
    for j in range(len(features)):
        line = features[own] - features[j]
        if j != own and float(line.abs().max()) > 0:
            share = float(((mixed - features[j]) * line).sum() / line.square().sum())
            error = float((mixed - share * features[own] - (1 - share) * features[j]).abs().max())
            best = min(best, (j, share, error), key=lambda entry: entry[2])
    assert best[2] < 1e-10
    return best[:2]


def chord(classifier: gp.PooledClassifier, first: Tensor, second: Tensor, target: Tensor) -> Tensor:
    """How far cross-entropy lies above its chord along the mix of two feature maps, at 99 shares."""
    ends = [nn.functional.cross_entropy(classifier(x), target) for x in (first, second)]
    shares = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    s = shares[:, None, None, None]
    losses = nn.functional.cross_entropy(classifier(s * first + (1 - s) * second), target.expand(99), reduction="none")
    return losses - shares * ends[0] - (1 - shares) * ends[1]


def test_along_a_feature_mix_cross_entropy_lies_on_or_below_its_chord() -> None:
    two_layers = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4))
    above, below = [], []
    for seed in range(20):
        first, second = maps(1, seed=seed) * 5, maps(1, seed=100 + seed) * 5
        target = torch.tensor([seed % 4])
        for pool in AFFINE:
            gap = chord(head(pool, torch.float64), first, second, target)
            assert float(gap.max()) <= 1e-12
            below.append(float(gap.min()))
        above.append(float(chord(head(gp.Mean(), torch.float64, two_layers), first, second, target).max()))
    assert min(below) < -1e-3  # a chord that is never left would prove nothing
    assert max(above) > 1e-3


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_feature_cutmix_takes_any_number_of_axes_and_its_generator_decides_all(axes: int) -> None:
    classifier = head(gp.Mean(), torch.float32)
    batch = batch_of((maps(4, torch.float32, size=(6, 5, 4)[:axes]),))
    objective = FeatureCutMix()
    values = [float(objective(classifier, batch, generator(seed)).value) for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(PoolError, match="FeatureMixup: expected `alpha` as a positive number; got 0"):
        FeatureMixup(alpha=0)
    with pytest.raises(PoolError, match='FeatureCutMix: expected `label` to be "area" or "evidence"; got \'mass\''):
        FeatureCutMix(label="mass")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"FeatureCutMix: expected feature maps \(n, C, \*S\); got features \(4, 6\)"):
        FeatureCutMix()(head(gp.Mean(), torch.float32), batch_of((torch.randn(4, 6),)), generator())
    assert FeatureMixup().then == CrossEntropy()


def test_by_evidence_of_shared_and_own_maps_agree() -> None:
    evidence, mask = maps(3)[:, :4], box_mask((5, 7), (2, 3), (3, 3), "clip")
    partner, ids = torch.tensor([2, 0, 1]), torch.tensor([1, 3, 0])
    rows = nn.functional.one_hot(ids, 4).double()
    own = by_evidence(partner, mask, evidence[torch.arange(3), ids].unsqueeze(1)).targets(rows)
    assert_close(own, by_evidence(partner, mask, evidence).targets(rows))
