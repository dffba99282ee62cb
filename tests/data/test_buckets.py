"""At which size a picture goes in."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalpool.data import Buckets, Fixed, Native
from globalpool.errors import DataError

SIZES = st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=30)


def slow_distance(size: tuple[int, int], shape: tuple[int, int], budget: int) -> float:
    """Four squared logarithms of the change of aspect ratio, one of that of the area within the budget."""
    area = min(size[0] * size[1], budget)
    aspect = math.log((shape[0] / shape[1]) / (size[0] / size[1]))
    return 4 * aspect**2 + math.log(shape[0] * shape[1] / area) ** 2


@settings(max_examples=60, deadline=None)
@given(SIZES, st.sampled_from([(32, 224 * 224), (16, 64 * 64), (32, 1024), (8, 10_000)]), st.integers(1, 9))
def test_few_shapes_that_are_multiples_within_the_budget(
    sizes: list[tuple[int, int]], grid: tuple[int, int], count: int
) -> None:
    stride, pixels = grid
    buckets = Buckets.of(sizes, pixels=pixels, stride=stride, count=count)
    assert 1 <= len(buckets.shapes) <= count
    for shape in buckets.shapes:
        assert shape[0] % stride == shape[1] % stride == 0
        assert 0 < shape[0] * shape[1] <= pixels
    budget = max(height * width for height, width in buckets.shapes)
    for size in sizes:
        best = min(slow_distance(size, shape, budget) for shape in buckets.shapes)
        assert math.isclose(slow_distance(size, buckets(size), budget), best, rel_tol=1e-9, abs_tol=1e-9)


def test_the_aspect_ratio_is_kept_as_nearly_as_the_grid_allows() -> None:
    portrait, landscape, square = (640, 480), (480, 640), (500, 500)
    buckets = Buckets.of([portrait, landscape, square], pixels=224 * 224, stride=32, count=3)
    assert [buckets(size) for size in (portrait, landscape, square)] == [(256, 192), (192, 256), (224, 224)]
    one = Buckets.of([portrait] * 9 + [landscape], pixels=224 * 224, stride=32, count=1)
    assert one.shapes == ((256, 192),), "the shape that serves most pictures"
    assert one(landscape) == (256, 192)


def test_small_pictures_stay_small_and_strips_fit() -> None:
    buckets = Buckets.of([(48, 48), (128, 128), (900, 10), (10, 900)], pixels=128 * 128, stride=16, count=4)
    assert buckets((48, 48)) == (48, 48)
    assert buckets((128, 128)) == (128, 128)
    assert buckets((4000, 4000)) == (128, 128)
    assert buckets((900, 10)) == (912, 16)
    assert buckets((10, 900)) == (16, 912)


def test_one_side_or_the_pictures_own() -> None:
    assert Fixed(224)((3, 1000)) == (224, 224)
    assert Native()((3, 1000)) == (3, 1000)


def test_numbers_that_cannot_be() -> None:
    with pytest.raises(DataError, match=re.escape("at least stride^2 = 1024; got pixels=1000, stride=32, count=8.")):
        Buckets.of([(9, 9)], pixels=1000)
    with pytest.raises(DataError, match=r"Buckets\.of: expected the size of at least one picture; got none\."):
        Buckets.of([], pixels=9999)
    with pytest.raises(DataError, match=r"Buckets: expected one or more shapes \(height, width\) in pixels; got \(\)"):
        Buckets(())
