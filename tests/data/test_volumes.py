"""Volumes as inputs: physical means, resampling, augmentation, settings that survive JSON."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import globalpool as gp
from globalpool.data.kinds import kind_of, read_inputs
from globalpool.data.spacing import at_spacing, evened
from globalpool.data.volume import Axis, Volume, between_borders
from globalpool.data.volume_augmentation import VolumeAugmentation
from globalpool.data.volumes import Volumes, Voxels
from globalpool.errors import DataError
from globalpool.layout import Padded

RANDOM = np.random.default_rng(0)
HEIGHTS = np.array([0.0, 1, 2, 4, 8, 9, 14])


def volume(values: np.ndarray, heights: np.ndarray | None = None, spacing: tuple[float, float] = (1.0, 1.0)) -> Volume:
    """``(C, I, J, K)`` with slices at ``heights`` (1 mm apart where None)."""
    x, y = (Axis.even(name, "mm", values.shape[i + 1], spacing[i]) for i, name in enumerate("xy"))
    z = Axis.even("z", "mm", values.shape[3], 1.0) if heights is None else Axis.at("z", "mm", heights)
    affine = between_borders(np.diag([*spacing, 1.0, 1.0]), z)
    return Volume(Path("scan"), values.astype(np.float32), (x, y, z), affine)


def pooled(inputs: Volumes, *items: Volume, pool: gp.Pool | None = None) -> torch.Tensor:
    """A network that is the identity up to its pool, one channel a logit, from file's values to logits."""
    trunk = gp.models.PaddedSequential(torch.nn.Identity())
    tail = torch.nn.Identity()
    classifier = gp.PooledClassifier(trunk, gp.Mean() if pool is None else pool, tail)
    (part,) = inputs.collate([inputs.prepare(item) for item in items])
    found: torch.Tensor = classifier(part)
    return found


def physical_mean(item: Volume) -> float:
    """The integral over millimetres by small steps, each point having the value of the slice that is nearest."""
    heights, values = HEIGHTS, item.values[0].astype(np.float64)
    low, high = heights[0] - (heights[1] - heights[0]) / 2, heights[-1] + (heights[-1] - heights[-2]) / 2
    steps = 14_000
    total = 0.0
    for number in range(steps):
        z = low + (number + 0.5) * (high - low) / steps
        total += values[:, :, int(np.abs(heights - z).argmin())].mean()
    return total / steps


def test_the_mean_over_uneven_slices_is_the_physical_integral() -> None:
    values = RANDOM.standard_normal((1, 3, 4, 7)) + HEIGHTS
    item = volume(values, HEIGHTS)
    plain = Volumes((0.0,), (1.0,))
    integral = physical_mean(item)
    assert float(pooled(plain, item)) == pytest.approx(integral, rel=1e-4)
    assert abs(float(values.mean()) - integral) > 0.5  # what a mean over voxels would say
    # In one batch with a volume of another size, and with its slices in the other order.
    other = volume(RANDOM.standard_normal((1, 5, 2, 9)))
    both = pooled(plain, other, item)
    assert float(both[1]) == pytest.approx(integral, rel=1e-4)
    assert float(both[0]) == pytest.approx(float(other.values.mean()), abs=1e-6)
    back = replace(item, values=item.values[..., ::-1].copy(), axes=(*item.axes[:2], item.axes[2].reversed()))
    assert float(pooled(plain, back)) == pytest.approx(float(pooled(plain, item)), rel=1e-6)


def test_the_integral_is_kept_through_the_stride_of_a_trunk() -> None:
    """Pairs of slices become one position each; it counts as much as both."""
    values = RANDOM.standard_normal((1, 4, 4, 6)).astype(np.float64)
    values[..., 1::2] = values[..., ::2]
    item = volume(values, HEIGHTS[:6])
    inputs = Volumes((0.0,), (1.0,))
    half = gp.models.PaddedSequential(torch.nn.AvgPool3d((1, 1, 2)))
    classifier = gp.PooledClassifier(half, gp.Mean(), torch.nn.Identity())
    (part,) = inputs.collate([inputs.prepare(item)])
    assert float(classifier(part)) == pytest.approx(float(pooled(inputs, item)), abs=1e-6)


def test_uniform_anisotropy_cancels_in_a_mean_and_scales_a_sum() -> None:
    values = RANDOM.standard_normal((1, 4, 5, 6))
    flat, thick = volume(values), replace(volume(values, spacing=(0.5, 3.0)))
    inputs = Volumes((0.0,), (1.0,))
    assert inputs.prepare(flat).measure is None
    assert float(pooled(inputs, thick)) == pytest.approx(float(pooled(inputs, flat)), abs=1e-6)
    assert float(pooled(inputs, thick, pool=gp.Sum())) == pytest.approx(1.5 * values.sum(), rel=1e-5)
    assert replace(inputs, voxel=1.5).prepare(thick).measure is None


def test_voxels_without_a_value_count_as_absent() -> None:
    values = RANDOM.standard_normal((2, 4, 5, 6))
    whole = volume(values)
    values[1, 0] = np.nan
    holed = volume(values)
    inputs = Volumes((0.0, 0.0), (1.0, 1.0))
    assert pooled(inputs, holed)[0].numpy() == pytest.approx(whole.values[:, 1:].mean((1, 2, 3)), abs=1e-6)


def test_a_sheared_grid_has_the_volume_of_its_determinant() -> None:
    item = volume(np.ones((1, 3, 3, 3)))
    affine = item.affine.copy()
    affine[0, 2] = 0.5  # a gantry tilted
    axes = (*item.axes[:2], Axis.even("z", "mm", 3, float(np.hypot(1, 0.5))))
    assert replace(item, affine=affine, axes=axes).measure() == pytest.approx(1.0)


def linear(item: Volume) -> np.ndarray:
    points = item.points(np.argwhere(np.ones(item.shape)).astype(np.float64))
    found: np.ndarray = (points @ [1.0, -0.5, 0.25] + 3).reshape(item.shape)
    return found


@pytest.mark.parametrize("spacing", [(1.0, 2.0, 0.5), (2.0, 1.0, 3.0)])
def test_resampling_keeps_what_is_at_each_point(spacing: tuple[float, float, float]) -> None:
    item = volume(np.zeros((1, 10, 12, 7)), HEIGHTS)
    item = replace(item, values=linear(item).astype(np.float32)[None])
    found = at_spacing(item, spacing)
    assert found.spacing == pytest.approx(spacing, rel=0.12)  # whole voxels from border to border
    # Away from the ends by what smoothing reaches, and by the samples that lie inside uneven outer slices.
    inner = tuple(slice(int(3 / step) + 1, -int(3 / step) - 1) for step in (*spacing[:2], spacing[2] * 0.75))
    assert found.values[0][inner] == pytest.approx(linear(found)[inner], abs=0.02)
    for one in (item, found):  # corners of the grid are where they were
        corners = np.array(list(product(*((-0.5, side - 0.5) for side in one.shape))))
        ends = corners @ one.affine[:3, :3].T + one.affine[:3, 3]
        assert [ends.min(0).tolist(), ends.max(0).tolist()] == [
            pytest.approx([-0.5, -0.5, -0.5]),
            pytest.approx([9.5, 11.5, 16.5]),
        ]
    constant = at_spacing(replace(item, values=np.full_like(item.values, 5)), spacing)
    assert np.abs(constant.values - 5).max() < 1e-5  # to the outermost voxel


def test_resampling_lets_no_finer_pattern_fold_into_coarse_voxels() -> None:
    stripes = np.broadcast_to((-1.0) ** np.arange(48), (1, 12, 12, 48)).copy()
    found = at_spacing(volume(stripes), (1.0, 1.0, 4.0))
    assert np.abs(found.values[..., 2:-2]).max() < 0.02


def test_absent_voxels_stay_absent_and_even_volumes_stay_themselves() -> None:
    values = np.ones((1, 8, 8, 8))
    values[:, :4] = np.nan
    found = at_spacing(volume(values), (2.0, 2.0, 2.0))
    assert np.isnan(found.values[:, :2]).all()
    assert found.values[:, 2:] == pytest.approx(1.0, abs=1e-6)  # undimmed beside what is absent
    item = volume(np.ones((1, 4, 4, 4)))
    assert evened(item) is item
    with pytest.raises(DataError, match="three positive lengths of a voxel; got"):
        at_spacing(item, (1.0, 0.0, 1.0))


def test_augmentation_moves_sizes_with_their_voxels_and_follows_torchs_generator() -> None:
    x = torch.randn(2, 6, 7, 8)
    measure = x[0].exp()  # a size that tells where its voxel came from
    torch.manual_seed(3)
    flipped, sizes = VolumeAugmentation(flip=1.0)(x, measure)
    assert torch.equal(flipped, x.flip(1, 2, 3))
    assert sizes is not None
    assert torch.equal(sizes, measure.flip(0, 1, 2))
    assert VolumeAugmentation(flip=0.5, noise=0.1)(x, None)[1] is None
    augment = VolumeAugmentation(flip=0.5, turn=20, shift=0.2, zoom=0.1, noise=0.1, light=0.2)
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        runs.append(augment(x, None)[0])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    torch.manual_seed(0)
    moved, laid_bare = VolumeAugmentation(shift=0.3)(torch.ones(1, 6, 7, 8), None)
    assert laid_bare is not None
    assert (laid_bare == 0).any()
    assert (moved[0][laid_bare == 0] == 0).all()


def files(folder: Path) -> list[Path]:
    """Three volumes of two channels, of two sizes and spacings."""
    found = []
    for number, (side, spacing) in enumerate(((4, 1.0), (6, 2.0), (4, 1.0))):
        values = np.stack([RANDOM.normal(number, 1, (side,) * 3), np.full((side,) * 3, 7.0)])
        np.savez(folder / f"{number}.npz", values=values, spacing=spacing)
        found.append(folder / f"{number}.npz")
    return found


def test_settings_are_learned_from_the_training_files_and_survive_json(tmp_path: Path) -> None:
    paths = files(tmp_path)
    inputs = Volumes.planned(paths, {"window": "-5:15", "flip": "0.5"})
    # Voxel by voxel, by its size.
    rows = []
    for path, size in zip(paths, (1.0, 8.0, 1.0), strict=True):
        rows += [((value + 5) / 20, size) for value in np.load(path)["values"][0].astype(np.float32).ravel()]
    values, sizes = np.array(rows).T
    mean = (values * sizes).sum() / sizes.sum()
    assert inputs.mean == pytest.approx((mean, 12 / 20), rel=1e-5)
    assert inputs.std == pytest.approx((np.sqrt(((values - mean) ** 2 * sizes).sum() / sizes.sum()), 1.0), rel=1e-4)
    assert inputs.largest == (6, 6, 6)
    assert inputs.voxel == pytest.approx((64 + 216 * 8 + 64) / (64 + 216 + 64))
    assert read_inputs(json.loads(json.dumps(inputs.record()))) == inputs
    assert kind_of(tmp_path) is Volumes
    (part,) = inputs.collate([inputs.prepare(inputs.read(path)) for path in paths])
    assert isinstance(part, Padded)
    assert part.values.shape == (3, 2, 6, 6, 6)
    same = Volumes.planned(paths, {"spacing": "2"})
    assert same.largest == (6, 6, 6)
    (part,) = same.collate([same.prepare(same.read(paths[1]))])
    assert isinstance(part, torch.Tensor)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"spacing": "1x2"}, r"spacing=native, one length or three as in 1x1x2.5; got spacing=1x2"),
        ({"spacing": "-1"}, r"spacing=native, one length or three"),
        ({"window": "5:1"}, r"window=LOW:HIGH, rising, as in -160:240; got window=5:1"),
        ({"flip": "2"}, r"flip=NUMBER from 0 to 1; got flip=2"),
        ({"rate": "3"}, r"spacing, window, flip, .* of volumes; got rate"),
    ],
)
def test_settings_that_cannot_be_are_told(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        Volumes.planned([], settings)


def test_volumes_unlike_the_others_are_refused(tmp_path: Path) -> None:
    inputs = Volumes.planned(files(tmp_path), {})
    np.save(tmp_path / "one.npy", np.ones((3, 3, 3)))
    with pytest.raises(DataError, match="2 channels, as in the others; got 1"):
        inputs.read(tmp_path / "one.npy")
    film = replace(inputs, axes=("time", "row", "column"))
    with pytest.raises(DataError, match=r"axes time, row, column, as in the others; got x, y, z\. Keep"):
        film.read(tmp_path / "0.npz")


def test_what_counts_as_one_volume_has_one_content(tmp_path: Path) -> None:
    first, second, third = files(tmp_path)
    np.savez_compressed(tmp_path / "copy.npz", spacing=[1.0, 1, 1], values=np.load(first)["values"])
    assert Volumes.facts(first) == Volumes.facts(tmp_path / "copy.npz")
    assert len({Volumes.facts(path).content for path in (first, second, third)}) == 3


def test_meta_voxels_of_one_size_are_one_tensor() -> None:
    inputs = Volumes((0.0,), (1.0,))
    parts = inputs.collate([Voxels(torch.ones(1, 3, 3, 3), None)] * 2)
    assert isinstance(parts[0], torch.Tensor)
