"""PxAP and the pointing game against counting, and by hand."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from globalpool.errors import LocalizationError
from globalpool.localize import box_masks, mean_pixel_average_precision, pixel_average_precision, pointing_game
from globalpool.localize.levels import THRESHOLDS
from globalpool.localize.pointing import widened
from tests.localize import slow

Array = NDArray[Any]


def pictures(seed: int, ties: bool) -> tuple[list[Array], list[Array], list[Array]]:
    random = np.random.default_rng(seed)
    shapes = [tuple(random.integers(2, 12, 2)) for _ in range(12)]
    maps = [random.integers(0, 5, shape) / 4 if ties else random.random(shape) for shape in shapes]
    return maps, [random.random(shape) < 0.4 for shape in shapes], [random.random(shape) < 0.3 for shape in shapes]


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("step", [0.1, 0.001])
def test_precision_equals_counting_at_every_threshold(ties: bool, step: float) -> None:
    maps, masks, ignore = pictures(0, ties)
    thresholds = np.arange(0, 1, step)
    result = pixel_average_precision(maps, masks, ignore=ignore, thresholds=thresholds)
    assert result.precision.value == pytest.approx(slow.average_precision(maps, masks, ignore, thresholds), abs=1e-12)


def test_precision_equals_the_histograms_of_the_paper() -> None:
    """``MaskEvaluator.compute``: numpy's histograms with edges 0, e, .., 1 - e, 1, 2, 3, from the right."""
    maps, masks, _ = pictures(1, ties=False)
    values = np.concatenate([slow.min_max(own).reshape(-1) for own in maps])
    truth = np.concatenate([own.reshape(-1) for own in masks])
    edges = np.append(THRESHOLDS, [1.0, 2.0, 3.0])
    hit, false = (np.histogram(values[own], bins=edges)[0][::-1].cumsum() for own in (truth, ~truth))
    some = hit + false > 0
    precision, recall = np.where(some, hit / np.where(some, hit + false, 1), 0), hit / truth.sum()
    expected = (precision[1:] * np.diff(recall)).sum()
    assert pixel_average_precision(maps, masks).precision.value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ties", [True, False])
def test_mean_precision_weighs_classes_alike(ties: bool) -> None:
    """Against counting for each class; nine pictures of one, three of the other."""
    maps, masks, ignore = pictures(2, ties)
    thresholds = np.arange(0, 1, 0.1)
    ids = [5 if row % 4 == 1 else 2 for row in range(12)]
    result = mean_pixel_average_precision(maps, masks, ids, ignore=ignore, thresholds=thresholds)
    expected = []
    for name in (2, 5):
        own = [row for row in range(12) if ids[row] == name]
        values, objects, left = ([part[row] for row in own] for part in (maps, masks, ignore))
        expected.append(slow.average_precision(values, objects, left, thresholds))
    assert result.classes == (2, 5)
    assert [one.value for one in result.each] == pytest.approx(expected, abs=1e-12)
    assert result.precision.value == pytest.approx(sum(expected) / 2, abs=1e-12)
    pooled = pixel_average_precision(maps, masks, ignore=ignore, thresholds=thresholds)
    assert abs(result.precision.value - pooled.precision.value) > 1e-3
    assert result.precision.low < result.precision.value < result.precision.high
    alone = mean_pixel_average_precision(maps, masks, [3] * 12, ignore=ignore, thresholds=thresholds)
    assert (alone.precision, alone.centre, alone.above_centre) == (pooled.precision, pooled.centre, pooled.above_centre)


def test_classes_that_do_not_fit() -> None:
    maps, masks = np.ones((2, 3, 4)), np.ones((2, 3, 4), dtype=bool)
    with pytest.raises(
        LocalizationError, match=re.escape("mPxAP: expected `classes` as whole numbers (2,), one a picture; got int64")
    ):
        mean_pixel_average_precision(maps, masks, [1])
    masks[1] = False
    with pytest.raises(LocalizationError, match=r"mPxAP, class 4: expected foreground in at least one mask; got none"):
        mean_pixel_average_precision(maps, masks, [1, 4])


def test_a_perfect_map_has_precision_one_and_a_constant_one_the_share() -> None:
    masks = np.random.default_rng(0).random((4, 6, 6)) < 0.3
    assert pixel_average_precision(masks.astype(float), masks).precision.value == pytest.approx(1, abs=1e-12)
    assert pixel_average_precision(np.ones((4, 6, 6)), masks).precision.value == pytest.approx(masks.mean(), abs=1e-12)


def test_object_pixels_count_even_where_ignored() -> None:
    mask = torch.tensor([[[True, False, False, False]]])
    maps = torch.tensor([[[0.6, 1.0, 0.2, 0.0]]])
    everything = pixel_average_precision(maps, mask, ignore=torch.ones_like(mask))
    assert everything.precision.value == pytest.approx(1), "only the object is left"
    assert pixel_average_precision(maps, mask).precision.value == pytest.approx(0.5)


def test_pictures_without_foreground_count_with_their_background() -> None:
    masks = np.zeros((2, 1, 4), dtype=bool)
    masks[0, 0, 0] = True
    maps = np.array([[[1.0, 0, 0, 0]], [[1.0, 0, 0, 0]]])
    assert pixel_average_precision(maps, masks).precision.value == pytest.approx(0.5)
    with pytest.raises(
        LocalizationError, match=re.escape("PxAP: expected foreground in at least one mask; got none in")
    ):
        pixel_average_precision(maps, masks[1:].repeat(2, 0))


def test_masks_that_do_not_fit() -> None:
    maps = np.ones((2, 3, 4))
    wrong: list[tuple[Any, str]] = [
        (np.ones((1, 3, 4), dtype=bool), "PxAP: expected `masks` of 2 pictures, as many as maps; got 1."),
        (np.ones((2, 3, 4)), "as bool of the map's shape (3, 4); got float64 (3, 4) for picture 0. True means object."),
        (np.ones((2, 4, 3), dtype=bool), "as bool of the map's shape (3, 4); got bool (4, 3) for picture 0."),
    ]
    for masks, sentence in wrong:
        with pytest.raises(LocalizationError, match=re.escape(sentence)):
            pixel_average_precision(maps, masks)


def test_pointing_counts_hits_and_shares_ties() -> None:
    masks = np.zeros((3, 3, 4), dtype=bool)
    masks[:, 0, :2] = True
    maps = np.zeros((3, 3, 4))
    maps[0, 0, 1] = 1  # a hit
    maps[1, 2, 3] = 1  # a miss
    maps[2, 0, 0] = maps[2, 2, 2] = 1  # one of two
    result = pointing_game(maps, masks)
    assert result.hits.value == pytest.approx(0.5)
    assert pointing_game(np.ones((3, 3, 4)), masks).hits.value == pytest.approx(result.random.value) == 2 / 12
    assert "centre baseline" in str(result)
    assert "random point" in str(result)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("tolerance", [0, 0.9, 1, 1.5, 2, 3.7])
def test_tolerance_is_straight_distance(axes: int, tolerance: float) -> None:
    mask = np.random.default_rng(axes).random((9, 8, 5)[:axes]) < 0.1
    mask[(3,) * axes] = True
    inside = np.argwhere(mask)
    expected = [bool((np.square(inside - place).sum(1) <= tolerance**2).any()) for place in np.ndindex(*mask.shape)]
    assert widened(mask, tolerance).reshape(-1).tolist() == expected


def test_pointing_refuses_empty_masks_and_odd_tolerances() -> None:
    with pytest.raises(LocalizationError, match=re.escape("expected an object in every mask; got none for picture 1.")):
        pointing_game(np.ones((2, 3)), np.array([[True, False, False], [False] * 3]))
    for tolerance in (-1.0, float("nan"), float("inf")):
        with pytest.raises(LocalizationError, match=r"expected a `tolerance` of 0 pixels or more; got"):
            pointing_game(np.ones((1, 3)), np.ones((1, 3), dtype=bool), tolerance=tolerance)


def test_box_masks_are_half_open_and_cut_to_the_map() -> None:
    first, second = box_masks([np.array([1, 0, 2, 3]), np.array([[0, 0, 1, 1], [2.5, 1, 9, 9]])], [(4, 5), (3, 4)])
    assert first.tolist() == [[0, 1, 1, 0, 0]] * 3 + [[0] * 5]
    assert second.tolist() == [[1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    with pytest.raises(LocalizationError, match=re.escape("box_masks: expected finite boxes of positive lengths")):
        box_masks([np.array([0, 0, -1, 1])], [(3, 3)])
