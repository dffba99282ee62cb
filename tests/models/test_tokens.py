"""Transformers as trunks: prefix tokens left out, and pictures of any aspect the same alone, padded and ragged."""

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from timm.data.naflex_dataset import NaFlexCollator
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.errors import LayoutError, TrainingError
from globalpool.layout import Padded
from globalpool.models import NaFlexTrunk, Patches, TokenTrunk
from globalpool.models.from_timm import timm_trunk
from globalpool.models.tokens import ChannelsFirst, Form
from globalpool.pools import GeM, Grid, LogMeanExp, Max, Mean, Pool, Statistics

PATCH, CLASSES = 8, 5
#: Height and width: grids 2 x 5, 3 x 3, 1 x 8; the last is no multiple of the patch and becomes 4 x 2.
SIZES = ((16, 40), (24, 24), (8, 64), (33, 17))
POOLS: tuple[Callable[[], Pool], ...] = (Mean, Max, lambda: LogMeanExp(3.0), Statistics, lambda: GeM(3.0, eps=1e-3))


def network(**settings: Any) -> nn.Module:
    """Two blocks without the layer scales that would hide them, and with prefix tokens that matter."""
    made = {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": PATCH, "init_values": None, "fc_norm": False}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        given = {**made, "num_classes": CLASSES, "class_token": True, "reg_tokens": 2, **settings}
        model: nn.Module = timm.create_model("naflexvit_base_patch16_gap", **given)
        for name, parameter in model.named_parameters():
            if "pos_embed" in name or "token" in name or name.startswith("head"):
                nn.init.normal_(parameter)
    return model.double().eval()


def classifier(pool: Pool | None = None, form: Form = "ragged", **settings: Any) -> PooledClassifier:
    model: Any = network(**settings)
    head = model.head
    model.reset_classifier(0, "")
    pool = Mean() if pool is None else pool
    if pool.out_features(32) != 32:
        head = nn.Linear(pool.out_features(32), CLASSES).double()
        nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(1))
    return PooledClassifier(NaFlexTrunk(model, form), pool, head).double().eval()


def pictures() -> list[Tensor]:
    random = torch.Generator().manual_seed(2)
    return [torch.randn(3, *size, generator=random, dtype=torch.float64) for size in SIZES]


def batch() -> Patches:
    return Patches.of(pictures(), (PATCH, PATCH))


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_the_mean_over_patches_is_timms_own_network() -> None:
    patches = batch()
    given = {"patches": patches.values, "patch_coord": patches.coord, "patch_valid": patches.valid}
    with torch.no_grad():
        expected = network()(given)
        for form in ("ragged", "mask"):
            same(classifier(form=form)(patches), expected)
            same(classifier(form=form)(given), expected)


@pytest.mark.parametrize("pool", POOLS)
def test_alone_padded_and_ragged_are_one(pool: Callable[[], Pool]) -> None:
    ragged, masked = classifier(pool()), classifier(pool(), "mask")
    masked.load_state_dict(ragged.state_dict())
    with torch.no_grad():
        alone = torch.cat([ragged(picture[None]) for picture in pictures()])
        assert float(alone.std(0).min()) > 1e-3, "pictures differ"
        same(ragged(batch()), alone)
        same(masked(batch()), alone)
        same(ragged(Padded.of(pictures())), alone)
        for order in ([3, 1], [0], [2, 0, 3]):
            same(ragged(Patches.of([pictures()[i] for i in order], (PATCH, PATCH))), alone[order])


def test_pools_of_regions_know_each_pictures_own_grid() -> None:
    model = classifier(Grid(2, 2))
    with torch.no_grad():
        same(model(batch()), torch.cat([model(picture[None]) for picture in pictures()]))


def slow_evidence(model: PooledClassifier, picture: Tensor) -> Tensor:
    """``(K, h, w)``: each patch token of timm's own forward, times the class's row, over their number."""
    inner: Any = model.trunk
    patches = Patches.of([picture], inner.patch)
    tokens = inner.network.forward_features(patches.values, patches.coord, patches.valid)["patches"][0, inner.prefix :]
    places = patches.coord[0].tolist()
    height, width = max(row for row, _ in places) + 1, max(column for _, column in places) + 1
    found = torch.zeros(CLASSES, height, width, dtype=torch.float64)
    tail: Any = model.tail
    for number, (row, column) in enumerate(places):
        for k in range(CLASSES):
            found[k, row, column] = float((tokens[number] * tail.weight[k]).sum()) / len(places)
    return found


@pytest.mark.parametrize("form", ["ragged", "mask"])
def test_evidence_is_the_loop_over_tokens_on_the_pictures_grid(form: Form) -> None:
    model, patches = classifier(form=form), batch()
    with torch.no_grad():
        evidence = model.evidence(patches, "all")
        evidence.check(1e-12)
        assert evidence.kind == "linear"
        maps = patches.maps(evidence)
        for sample, (own, picture) in enumerate(zip(maps, pictures(), strict=True)):
            expected = slow_evidence(model, picture)
            same(own, expected)
            same(own.sum((1, 2)) + evidence.offset[sample], model(picture[None])[0])
        if form == "ragged":
            pixels = evidence.upsample(1, sizes=torch.tensor(SIZES))
            for own, small, size in zip(pixels, maps, SIZES, strict=True):
                assert own.shape == (CLASSES, *size)
                same(own.sum((1, 2)), small.sum((1, 2)))


@pytest.mark.parametrize("form", ["ragged", "mask"])
def test_padding_may_hold_anything(form: Form) -> None:
    model, patches = classifier(form=form), batch()
    junk = patches.values.masked_fill(~patches.valid[..., None], torch.nan).requires_grad_()
    places = patches.coord.masked_fill(~patches.valid[..., None], 99)
    dirty = Patches(junk, places, patches.valid)
    logits = model(dirty)
    same(logits.detach(), model(patches).detach())
    logits.sum().backward()
    assert junk.grad is not None
    assert float(junk.grad[~patches.valid].abs().max()) == 0
    assert bool(junk.grad.isfinite().all())
    assert all(bool(one.grad.isfinite().all()) for one in model.parameters() if one.grad is not None)


def some(patches: Patches, order: Tensor) -> Patches:
    return Patches(patches.values[:, order], patches.coord[:, order], patches.valid[:, order])


def test_missing_and_shuffled_patches_keep_their_places() -> None:
    """By coordinates alone: only for position embeddings that go by them."""
    model = classifier(pos_embed_use_grid_sample=True)
    whole = Patches.of(pictures()[:1], (PATCH, PATCH))  # a grid 2 x 5
    order = torch.tensor([9, 3, 0, 6, 1])
    some_first, shuffled = some(whole, order.sort().values), some(whole, order)
    with torch.no_grad():
        same(model(shuffled), model(some_first))
        (found,) = shuffled.maps(model.evidence(shuffled, "all"))
        (expected,) = some_first.maps(model.evidence(some_first, "all"))
    same(found, expected)
    absent = [(n // 5, n % 5) for n in range(10) if n not in order.tolist()]
    assert all(not found[:, row, column].any() for row, column in absent)
    assert all(bool(found[:, n // 5, n % 5].all()) for n in order.tolist())
    with pytest.raises(LayoutError, match=r"expected all patches of each picture, row-major.*would misplace"):
        classifier()(shuffled)


def test_timms_own_batches_are_taken() -> None:
    samples: list[tuple[dict[str, Tensor], int | Tensor]] = []
    for picture in pictures()[:3]:
        one = Patches.of([picture.float()], (PATCH, PATCH))
        samples.append(({"patches": one.values[0], "patch_coord": one.coord[0], "patch_valid": one.valid[0]}, 0))
    given, _ = NaFlexCollator(max_seq_len=12)(samples)
    given["patches"] = given["patches"].double()
    model = classifier()
    with torch.no_grad():
        alone = torch.cat([model(picture.float().double()[None]) for picture in pictures()[:3]])
        same(model(given), alone)


def test_patches_are_cut_row_major_and_large_pictures_made_smaller() -> None:
    picture = torch.arange(3 * 16 * 24, dtype=torch.float64).reshape(3, 16, 24)
    patches = Patches.of([picture], (8, 8))
    assert patches.coord[0].tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    own = patches.values[0, 5].reshape(8, 8, 3)
    for row, column, channel in ((0, 0, 0), (7, 2, 1), (3, 7, 2)):
        assert own[row, column, channel] == picture[channel, 8 + row, 16 + column]
    slow = Patches.of([picture], (8, 8), last=False).values[0, 5].reshape(3, 8, 8)
    assert torch.equal(slow, picture[:, 8:, 16:])
    smaller = Patches.of([torch.ones(3, 400, 100, dtype=torch.float64), picture], (8, 8), most=40)
    assert smaller.valid.sum(1).tolist() == [36, 6]
    shapes = smaller.shapes()
    assert shapes is not None
    assert shapes.tolist() == [[12, 3], [2, 3]], "the aspect is kept"
    same(smaller.values[0, :36], torch.ones(36, 192, dtype=torch.float64))


@pytest.mark.parametrize("name", ["test_vit", "eva02_tiny_patch14_224"])
def test_a_transformer_is_a_map_without_its_prefix(name: str) -> None:
    settings = {} if name == "test_vit" else {"depth": 1, "embed_dim": 48, "num_heads": 3}
    x = torch.randn(2, 3, 45, 71, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    trunk: Any = timm_trunk(name, x.float(), **settings)
    assert isinstance(trunk.double().eval(), TokenTrunk)
    assert trunk.prefix == 1
    assert trunk.note.endswith(
        "; the prefix token is left out of it (class, registers), having no place in the picture"
    )
    side = trunk.patch[0]
    height, width = round(45 / side), round(71 / side)
    resized = nn.functional.interpolate(
        x, (height * side, width * side), mode="bilinear", align_corners=False, antialias=True
    )
    with torch.no_grad():
        inner: Any = trunk.network
        found, tokens = trunk(x), inner.forward_features(resized)
    assert found.shape[2:] == (height, width)
    for row in range(height):
        for column in range(width):
            same(found[:, :, row, column], tokens[:, 1 + row * width + column])


def test_a_map_with_channels_last_is_turned() -> None:
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    settings = {"img_size": 64, "depths": (1, 1), "embed_dim": 16, "num_heads": (1, 2), "window_size": 4}
    trunk: Any = timm_trunk("swin_tiny_patch4_window7_224", x, **settings)
    assert isinstance(trunk, ChannelsFirst)
    with torch.no_grad():
        assert torch.equal(trunk.eval()(x), trunk.network(x).permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("beit_base_patch16_224", {"depth": 1}, r"takes pictures of 40 x 40; got .*match model.*Give --size 224"),
        ("test_vit", {"patch_drop_rate": 0.5}, r"a feature map or patch tokens; got VisionTransformer that drops some"),
    ],
)
def test_networks_that_cannot_be_trunks_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        timm_trunk(name, torch.zeros(1, 3, 40, 40), **settings)


def test_odd_batches_are_refused() -> None:
    patches = batch()
    with pytest.raises(LayoutError, match=r"`valid` as bool, True at patches; got torch.float64"):
        Patches(patches.values, patches.coord, patches.valid.double())
    with pytest.raises(LayoutError, match=r"values \(N, P, A\), coord \(N, P, 2\) and valid \(N, P\)"):
        Patches(patches.values, patches.coord[:, :3], patches.valid)
    with pytest.raises(LayoutError, match=r"expected pictures \(N, C, H, W\), Padded pictures, Patches or .*got list"):
        classifier()(pictures())
    other = Patches.of(pictures()[:2], (PATCH, PATCH))
    with pytest.raises(LayoutError, match=r"expected evidence of these 4 samples with 35 patches; got 19 rows of 2"):
        patches.maps(classifier().evidence(other, "all"))
