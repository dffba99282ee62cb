"""What localises without looking has closed forms, and intervals cover what they should."""

from itertools import combinations, product

import numpy as np
import pytest

from globalpool.localize import Bootstrap, BoxProtocol, max_box_accuracy, pixel_average_precision, pointing_game
from globalpool.localize.baselines import centre_map, random_boxes, random_hits
from globalpool.localize.bootstrap import means
from globalpool.localize.boxes import overlap, to_corners
from tests.localize import slow


def test_random_boxes_are_all_boxes_equally_often() -> None:
    drawn = random_boxes(np.random.default_rng(0), (4, 3), 60_000)
    every = [((a, c), (b, d)) for (a, b), (c, d) in product(combinations(range(5), 2), combinations(range(4), 2))]
    counts = dict.fromkeys(every, 0)
    for start, stop in drawn.tolist():
        counts[(tuple(start), tuple(stop))] += 1
    expected = 60_000 / len(every)
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 100  # 59 degrees of freedom, p ~ 7e-4
    true = to_corners(np.array([[0, 1, 2, 2]]))
    share = np.mean([slow.iou(box, true[0]) >= 0.5 for box in every])
    hits = random_hits([(4, 3)] * 300, [true] * 300, (0.5,), 0)  # 60,000 draws: deviation 0.0015
    assert hits.mean() == pytest.approx(share, abs=0.006)


def test_the_centre_baseline_finds_centred_boxes_and_the_share_of_displaced_ones_that_geometry_says() -> None:
    protocol = BoxProtocol(thresholds=np.arange(0, 1, 0.001))
    still = np.zeros((50, 20, 20))
    centred = max_box_accuracy(still, np.tile([6, 6, 8, 8], (50, 1)), protocol=protocol)
    assert centred.centre.value == 1
    # Boxes of 8 px anywhere on 20: the best centred square hits those displaced by little enough.
    places = np.array(list(product(range(13), repeat=2)))
    boxes = np.concatenate([places, np.full_like(places, 8)], 1)
    everywhere = max_box_accuracy(np.zeros((169, 20, 20)), boxes, protocol=protocol)
    squares = [np.array([[[10 - half] * 2, [10 + half] * 2]]) for half in range(1, 11)]
    best = max((overlap(to_corners(boxes), square) >= 0.5).mean() for square in squares)
    assert everywhere.centre.value == pytest.approx(best)


def test_the_centre_map_is_symmetric_and_falls_from_the_middle() -> None:
    values = centre_map((5, 8))
    assert np.array_equal(values, values[::-1])
    assert np.array_equal(values, values[:, ::-1])
    assert values.max() == values[2, 3] == values[2, 4]
    assert (np.diff(values[2, 4:]) < 0).all()


def test_random_order_has_the_precision_of_the_foregrounds_share() -> None:
    random = np.random.default_rng(0)
    masks = random.random((400, 16, 16)) < 0.3
    result = pixel_average_precision(random.random((400, 16, 16)), masks)
    assert result.random.value == pytest.approx(masks.mean(), abs=1e-12)
    assert result.precision.value == pytest.approx(masks.mean(), abs=0.01)
    assert result.precision.low < result.random.value < result.precision.high


def test_a_random_point_hits_by_area() -> None:
    masks = np.zeros((2, 10, 10), dtype=bool)
    masks[0, :2], masks[1, :, :5] = True, True
    result = pointing_game(np.random.default_rng(0).random((2, 10, 10)), masks)
    assert result.random.value == pytest.approx((0.2 + 0.5) / 2)
    assert result.centre.value == pytest.approx((0 + 0.5) / 2), "two of the four middle points lie in the left half"


def test_intervals_cover_a_share_about_as_often_as_they_say() -> None:
    random, covered = np.random.default_rng(0), 0
    for seed in range(400):
        hits = (random.random((150, 1)) < 0.7).astype(float)
        (measured,) = Bootstrap(resamples=300, seed=seed).measure(hits, means)
        assert measured.low <= measured.value <= measured.high
        covered += measured.low <= 0.7 <= measured.high
    # 95 % of 400, less a few per cent for percentiles at N = 150; the deviation of the count is 4.4.
    assert 0.90 <= covered / 400 <= 0.98


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(2, 3, (500, 1))
    (measured,) = Bootstrap(resamples=4000).measure(values, means)
    half = 1.96 * values.std() / 500**0.5
    assert measured.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert measured.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_differences_are_paired() -> None:
    values = np.random.default_rng(0).normal(0, 5, (100, 1))
    both = np.concatenate([values + 1, values], 1)
    (measured,) = Bootstrap().measure(both, lambda mean: mean[:, :1] - mean[:, 1:])
    assert measured.low == pytest.approx(1)
    assert measured.high == pytest.approx(1)
