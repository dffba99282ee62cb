"""Another pool in the same classifier: which logits stay, and what another number of positions does to them."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import AdoptionError, PoolError
from globalpool.exchange import MixedRegions
from tests.surgery.networks import CLASSES, Network, Tokens, build, linear

WIDTH = 6


def maps(*size: int, samples: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(samples, WIDTH, *size, generator=generator, dtype=torch.float64)


def tails(width: int) -> dict[str, nn.Module]:
    torch.manual_seed(3)
    norm = nn.BatchNorm1d(width)
    nn.init.uniform_(norm.running_mean)  # type: ignore[arg-type]
    nn.init.normal_(norm.weight)
    return {
        "linear": nn.Linear(width, 4),
        "dropout, linear": nn.Sequential(nn.Dropout(0.5), nn.Linear(width, 4)),
        "nested mlp": nn.Sequential(
            nn.Sequential(nn.Flatten(), nn.Linear(width, 5)), nn.GELU(), nn.Linear(5, 4, bias=False)
        ),
        "norm, linear": nn.Sequential(norm, nn.Linear(width, 4)),
    }


TAILS = list(tails(1))


def weight(model: gp.PooledClassifier) -> Tensor:
    layer: Any = model.tail
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach()


def classifier(pool: gp.Pool, tail: str = "linear") -> gp.PooledClassifier:
    built = gp.PooledClassifier(nn.Identity(), pool, tails(pool.out_features(WIDTH))[tail])
    return built.double().eval()


def place() -> gp.Attention:
    return gp.Attention(WIDTH, None, gp.PositionGrid(3, 3, heads=2), heads=2)


def regions() -> gp.LearnedRegions:
    torch.manual_seed(4)
    return gp.LearnedRegions(WIDTH, 3)


# Exact at every size: old pool, new pool.
EXACT: dict[str, tuple[Any, Any]] = {
    "Mean, Mean": (gp.Mean, gp.Mean),
    "Mean, position attention": (gp.Mean, place),
    "Mean, content attention": (gp.Mean, lambda: gp.Attention(WIDTH)),
    "position attention, Mean": (place, gp.Mean),
    "Mean, gamma 1": (gp.Mean, lambda: gp.ScaledSum(1.0)),
    "Sum, gamma 0": (gp.Sum, lambda: gp.ScaledSum(0.0)),
    "Mean, learned regions by area": (gp.Mean, regions),
    "Mean, exact bins": (gp.Mean, lambda: gp.Grid(2, 3)),
    "Mean, pyramid": (gp.Mean, lambda: gp.Pyramid((2, 1, 3))),
    "Mean, pyramid without the whole": (gp.Mean, lambda: gp.Pyramid((2, 3))),
    "Mean, statistics": (gp.Mean, gp.Statistics),
    "Mean, Concat": (gp.Mean, lambda: gp.Concat(gp.Max(), gp.Mean(), gp.Statistics())),
    "Max, Concat": (gp.Max, lambda: gp.Concat(gp.Mean(), gp.Max())),
    "GeM, Concat": (lambda: gp.GeM(3.0, 1e-6), lambda: gp.Concat(gp.Grid(2, 2), gp.GeM(3.0, 1e-6))),
    "Concat, Concat": (lambda: gp.Concat(gp.Mean(), gp.Max()), lambda: gp.Concat(gp.Max(), gp.Sum(), gp.Mean())),
    "Pyramid, Pyramid": (lambda: gp.Pyramid((1, 2)), lambda: gp.Pyramid((1, 2))),
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("name", EXACT)
def test_exact_exchanges_keep_every_logit(name: str, tail: str) -> None:
    old, new = EXACT[name]
    before = classifier(old(), tail)
    after = before.with_pool(new().double())
    assert after.change is not None
    assert (after.change.preserved, after.change.size) == ("exact", None)
    assert type(after) is type(before)
    for size in ((6, 6), (7, 5), (4, 9)):
        x = maps(*size).abs() + 0.1
        assert_close(after(x), before(x), rtol=0, atol=1e-12)
        assert_close(after.evidence(x, "all").check().logits, before(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(
    ("old", "new", "exponent"),
    [
        (gp.Mean(), gp.Sum(), -1.0),
        (gp.Sum(), gp.Mean(), 1.0),
        (gp.Mean(), gp.ScaledSum(0.5), -0.5),
        (gp.ScaledSum(0.25), gp.ScaledSum(2.0), 1.75),
    ],
)
def test_pools_that_count_otherwise_keep_the_logits_at_their_size(
    old: gp.Pool, new: gp.Pool, exponent: float, tail: str
) -> None:
    before = classifier(old, tail)
    after = before.with_pool(new, size=(7, 5))
    assert after.change is not None
    assert (after.change.preserved, after.change.size) == ("at size", (7, 5))
    assert_close(after(maps(7, 5)), before(maps(7, 5)), rtol=0, atol=1e-12)
    assert_close(after(maps(5, 7)), before(maps(5, 7)), rtol=0, atol=1e-12)  # as many positions
    assert (after(maps(4, 4)) - before(maps(4, 4))).abs().max() > 1e-4
    if tail == "linear":
        ratio = (weight(after) / weight(before)).flatten()
        assert_close(ratio, torch.full_like(ratio, 35**exponent), rtol=1e-14, atol=0)
        assert after.tail.bias is before.tail.bias
    with pytest.raises(PoolError, match=r"with_pool: expected `size`, on which .* depends; got None. Give the feature"):
        before.with_pool(new)


def test_bins_are_the_mean_where_they_divide_the_map() -> None:
    before = classifier(gp.Mean())
    torch_bins = gp.Grid(2, 3, partition="torch")
    at = before.with_pool(torch_bins, size=(6, 6))
    assert at.change is not None
    assert at.change.preserved == "at size"
    assert_close(at(maps(6, 6)), before(maps(6, 6)), rtol=0, atol=1e-12)
    for size in (None, (7, 6)):
        change = before.with_pool(torch_bins, size=size).change
        assert change is not None
        assert change.preserved == "no"
    bins = classifier(torch_bins)
    exact = bins.with_pool(gp.Grid(2, 3), size=(4, 6))
    assert exact.tail is bins.tail
    assert_close(exact(maps(4, 6)), bins(maps(4, 6)), rtol=0, atol=1e-12)
    assert exact.change is not None
    assert str(exact.change) == (
        "Grid in place of Grid: the logits are the same for feature maps of (4, 6) without a mask."
    )
    assert (exact(maps(5, 6)) - bins(maps(5, 6))).abs().max() > 1e-4


def test_masks_keep_what_is_said_to_hold_with_them() -> None:
    mask = torch.rand(3, 6, 7, generator=torch.Generator().manual_seed(0)) > 0.4
    for name, (old, new) in EXACT.items():
        before = classifier(old())
        after = before.with_pool(new().double())
        assert after.change is not None
        x = maps(6, 7).abs() + 0.1
        error = float((after(x, mask=mask) - before(x, mask=mask)).detach().abs().max())
        assert (error > 1e-6) == after.change.without_mask, name
        assert ("without a mask" in str(after.change)) == after.change.without_mask


def test_new_columns_of_a_concat_start_at_zero_and_the_rest_is_shared() -> None:
    before = classifier(gp.Mean(), "nested mlp")
    after = before.with_pool(gp.Concat(before.pool, gp.Max(), gp.Max()))
    new: Any = after.tail
    old: Any = before.tail
    first = new[0][1]
    assert_close(first.weight[:, :WIDTH], old[0][1].weight, rtol=0, atol=0)
    assert (first.weight[:, WIDTH:] == 0).all()
    assert first.bias is old[0][1].bias
    assert new[2] is old[2]
    assert after.trunk is before.trunk
    after(maps(4, 4)).sum().backward()
    assert first.weight.grad[:, WIDTH:].abs().sum() > 0


def test_a_tail_is_shared_where_nothing_changes_and_the_old_classifier_stays() -> None:
    before = classifier(gp.Mean())
    pool, tail = before.pool, before.tail
    after = before.with_pool(gp.Attention(WIDTH).double())
    assert after.tail is tail
    assert (before.pool, before.tail, before.change) == (pool, tail, None)
    assert not list(before.pool.parameters())
    assert not after.pool.training
    trained = classifier(gp.Mean()).train()
    trained.tail.requires_grad_(False)
    wide = trained.with_pool(gp.Concat(gp.Mean(), gp.Max()))
    assert wide.pool.training
    assert wide.tail.training
    assert not any(own.requires_grad for own in wide.tail.parameters())


def test_what_is_not_preserved_is_said() -> None:
    scored = gp.Attention(WIDTH).double()
    nn.init.ones_(scored.content.weight)  # type: ignore[union-attr, arg-type]
    cases: list[tuple[gp.Pool, gp.Pool, bool, str]] = [
        (gp.Mean(), gp.Max(), True, "Max in place of Mean: other logits; the tail is kept as it is"),
        (gp.Mean(), scored, True, "Attention in place of Mean: other logits"),
        (gp.GeM(3.0, 1e-6), gp.GeM(2.0, 1e-6), True, "GeM in place of GeM: other logits"),
        (gp.Max(), gp.Grid(2, 2), False, "reads the mean of the 4 regions where it read each of the 1"),
        (gp.Grid(2, 2), gp.Mean(), False, "reads the mean of the 1 regions where it read each of the 4"),
    ]
    for old, new, kept, text in cases:
        before = classifier(old)
        after = before.with_pool(new)
        assert after.change is not None
        assert after.change.preserved == "no"
        assert text in str(after.change)
        assert (after.tail is before.tail) == kept
        assert after(maps(6, 6).abs()).shape == (3, 4)
        assert (after(maps(6, 6).abs()) - before(maps(6, 6).abs())).abs().max() > 1e-4


def test_what_is_refused_and_why() -> None:
    before = classifier(gp.Mean())
    with pytest.raises(PoolError, match=r"a pool that reduces the same `dim`; got \(-1,\) after None"):
        before.with_pool(gp.Mean(dim=-1))
    with pytest.raises(PoolError, match=r"with_pool: expected `pool` to be an instance of globalpool\.Pool"):
        before.with_pool(nn.Identity())  # type: ignore[arg-type]
    for size in ((), (7, 0), 7, (7.0, 7), "77", (True, 7)):
        with pytest.raises(PoolError, match=r"`size` as positive lengths, \(7, 7\); got .* not of the picture's"):
            before.with_pool(gp.Sum(), size=size)  # type: ignore[arg-type]
    for model in (
        build(lambda: Tokens(lambda m, x: m.fc(x[:, 0]), fc=linear())),
        build(lambda: Network(lambda m, x: m.fc(x.mean((2, 3))) + m.other(x.std((2, 3))), fc=linear(), other=linear())),
    ):
        adopted = gp.adopt(model, torch.randn(2, 3, 24, 24, dtype=torch.float64))
        with pytest.raises(AdoptionError, match=r"a pool and a tail that stand by themselves.*globalpool.replace_head"):
            adopted.with_pool(gp.Concat(gp.Max(), gp.Mean()))


def test_adopted_classifiers_take_another_pool() -> None:
    model = build(lambda: Network(lambda m, x: m.fc(x.mean((2, 3))).relu(), fc=linear()))
    x = torch.randn(2, 3, 24, 24, dtype=torch.float64)
    adopted = gp.adopt(model, x)
    wide = adopted.with_pool(gp.Concat(gp.Max(), gp.Mean()))
    assert isinstance(wide.tail, MixedRegions)
    assert (type(wide), wide.proof) == (type(adopted), None)
    assert adopted.proof is not None
    with torch.no_grad():
        assert_close(wide(x), model(x), rtol=0, atol=1e-12)
        evidence = wide.evidence(x, "all").check()
    assert (evidence.kind, evidence.logits.shape) == ("gated", (2, CLASSES))
    summed = adopted.with_pool(gp.Sum(), size=adopted.feature_size(x))
    assert_close(summed(x), model(x), rtol=0, atol=1e-12)


SIZES = ((7, 7), (8, 8), (14, 14), (3, 5), (1, 1), (10, 4), (21, 7))


@pytest.mark.parametrize("gamma", [0.0, 0.5, -1.0, 1.0, 1.5])
def test_the_logits_of_the_same_mean_are_the_same_at_every_resolution(gamma: float) -> None:
    trained = classifier(gp.ScaledSum(gamma) if gamma else gp.Sum())
    mean = maps(1, 1)
    bias: Any = trained.tail.bias
    native = trained(mean.expand(-1, -1, 7, 7))
    for size in SIZES:
        moved = trained.at_resolution(size, trained_at=(7, 7))
        x = mean.expand(-1, -1, *size)
        assert_close(moved(x), native, rtol=1e-12, atol=1e-12)
        assert moved.tail.bias is trained.tail.bias
        assert moved.resolution == size
        factor = (49 / math.prod(size)) ** (1 - gamma)
        assert_close(weight(moved), weight(trained) * factor, rtol=1e-14, atol=0)
        moved.evidence(x, "all").check()
        if gamma != 1 and math.prod(size) != 49:
            assert (trained(x) - native).abs().max() > 1e-3
            wrong = weight(moved) @ x.sum((2, 3)).T * math.prod(size) ** -gamma + bias[:, None] * factor
            assert (wrong.T - native).abs().max() > 1e-3  # the bias must not be rescaled


def test_feature_positions_count_and_not_pixels() -> None:
    trained = classifier(gp.Sum())
    feature = trained.at_resolution((8, 8), trained_at=(7, 7))
    picture = trained.at_resolution((250, 250), trained_at=(224, 224))
    native, x = trained(maps(1, 1).expand(-1, -1, 7, 7)), maps(1, 1).expand(-1, -1, 8, 8)
    assert_close(feature(x), native, rtol=1e-12, atol=1e-12)
    assert (picture(x) - native).abs().max() > 1e-3
    ratios = [float((weight(one) / weight(trained)).mean()) for one in (feature, picture)]
    assert [round(ratio, 3) for ratio in ratios] == [0.766, 0.803]


def test_doubling_each_side_of_a_sum_is_a_quarter_of_the_temperature() -> None:
    trained = classifier(gp.Sum())
    x = maps(1, 1)
    bias: Any = trained.tail.bias
    small, large = trained(x.expand(-1, -1, 7, 7)) - bias, trained(x.expand(-1, -1, 14, 14)) - bias
    assert_close(large, 4 * small, rtol=1e-12, atol=1e-12)


def test_pools_that_do_not_grow_with_the_map_are_unchanged() -> None:
    for pool in (gp.Mean(), gp.Max(), gp.Grid(2, 2), gp.Statistics(), gp.Concat(gp.Mean(), gp.Max())):
        trained = classifier(pool)
        moved = trained.at_resolution((14, 14), trained_at=(7, 7))
        assert (moved.tail, moved.pool) == (trained.tail, trained.pool)
    mixed = classifier(gp.Concat(gp.Mean(), gp.Sum()))
    ratio = weight(mixed.at_resolution((14, 14), trained_at=(7, 7))) / weight(mixed)
    assert_close(ratio.mean(0).unflatten(0, (2, WIDTH)).mean(1), torch.tensor([1, 0.25]).double())


def test_kept_axes_do_not_count_and_the_resolution_is_carried_on() -> None:
    kept = gp.PooledClassifier(nn.Identity(), gp.Sum(dim=-1), nn.Linear(WIDTH * 4, 3)).double()
    x = maps(4, 1)
    moved = kept.at_resolution((4, 20), trained_at=(4, 10))
    assert_close(moved(x.expand(-1, -1, -1, 20)), kept(x.expand(-1, -1, -1, 10)), rtol=1e-12, atol=1e-12)
    mean = kept.with_pool(gp.Mean(dim=-1), size=(4, 10))
    assert_close(mean(maps(4, 10)), kept(maps(4, 10)), rtol=1e-12, atol=1e-12)
    trained = classifier(gp.Sum())
    there = trained.at_resolution((8, 8), trained_at=(7, 7)).at_resolution((14, 14))
    assert_close(weight(there), weight(trained) / 4, rtol=1e-14, atol=0)


def test_feature_size_and_what_at_resolution_refuses() -> None:
    trunk = nn.Sequential(nn.Conv2d(3, WIDTH, 3, 4, 1), nn.BatchNorm2d(WIDTH))
    model = gp.PooledClassifier(trunk, gp.Sum(), nn.Linear(WIDTH, 2))
    assert model.feature_size(torch.zeros(1, 3, 32, 20)) == (8, 5)
    assert model.training
    assert int(trunk[1].num_batches_tracked) == 0  # type: ignore[arg-type]
    assert classifier(gp.Mean()).feature_size(torch.zeros(17, WIDTH)) == (17,)
    with pytest.raises(PoolError, match=r"at_resolution: expected `trained_at`, .*feature_size\(x\) tells them"):
        model.at_resolution((8, 8))
    with pytest.raises(PoolError, match=r"as many axes as in training, \(7, 7\); got \(8,\)"):
        model.at_resolution((8,), trained_at=(7, 7))
    with pytest.raises(PoolError, match="`trained_at` as positive lengths"):
        model.at_resolution((8, 8), trained_at=(0, 7))
    with pytest.raises(PoolError, match="sums by themselves or in a Concat; got one inside Blend"):
        classifier(gp.Blend(gp.Sum(), gp.Mean())).at_resolution((8, 8), trained_at=(7, 7))
