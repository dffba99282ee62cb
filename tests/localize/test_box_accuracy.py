"""MaxBoxAcc and its kin against the code of the paper, a plain search, and cases worked out by hand."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from globalpool import localize
from globalpool.errors import LocalizationError
from globalpool.localize import Bootstrap, BoxProtocol, max_box_accuracy, max_box_accuracy_v2, temporal_iou
from globalpool.localize.boxes import to_corners
from globalpool.localize.candidates import Definition, Keep, candidates
from globalpool.localize.levels import THRESHOLDS
from tests.localize import slow

Array = NDArray[Any]
KEEPS: list[Keep] = ["largest", "all"]
GRID = np.arange(0, 1, 0.05)


def some_maps(seed: int, count: int, axes: int = 2) -> tuple[list[Array], list[Array]]:
    """Noise and plateaus of mixed sizes, with one or two boxes ``(M, 2D)`` each."""
    random = np.random.default_rng(seed)
    maps, boxes = [], []
    for number in range(count):
        shape = random.integers(2, 9, axes)
        maps.append(random.random(shape) if number % 2 else random.integers(0, 4, shape) / 3)
        start = [random.integers(0, shape, axes) for _ in range(1 + number % 2)]
        length = [1 + random.integers(0, shape - own, axes) for own in start]
        boxes.append(np.array([[*a[::-1], *b[::-1]] for a, b in zip(start, length, strict=True)]))
    return maps, boxes


def curve(values: Array, boxes: Array, thresholds: Array, keep: Keep, definition: Definition) -> Array:
    return candidates(values, thresholds, keep, definition).overlaps(to_corners(boxes.astype(float)))


@pytest.mark.parametrize("keep", KEEPS)
def test_equals_the_code_of_the_paper_bit_for_bit(keep: Keep) -> None:
    """A thousand maps: noise, ties, rings with holes, lines, constant maps, NaN; grids of 100 and of 1,000."""
    kept = np.load(Path(__file__).parent / "fixtures" / "clovaai.npz")
    shapes, found = kept["shapes"].astype(int), kept[keep]
    at, at_box, wrong = 0, 0, []
    for number, (height, width, count) in enumerate(shapes):
        values = kept["maps"][at : at + height * width].reshape(height, width).astype(np.float32)
        x0, y0, x1, y1 = kept["boxes"][at_box : at_box + count].astype(float).T
        at, at_box = at + height * width, at_box + count
        thresholds = np.arange(0, 1, (0.01, 0.001)[number % 2])
        rows = found[found[:, 0] == number]
        lengths = np.diff([*rows[:, 1], len(thresholds)]).astype(int)
        expected = np.repeat(rows[:, 2], lengths)
        if not np.array_equal(
            curve(values, np.stack([x0, y0, x1 - x0, y1 - y0], 1), thresholds, keep, "reference"), expected
        ):
            wrong.append(number)
    assert len(shapes) == 1000
    assert wrong == []


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_equals_a_search_at_every_threshold(axes: int, keep: Keep) -> None:
    for values, boxes in zip(*some_maps(axes, 24, axes), strict=True):
        true = to_corners(boxes)
        assert np.allclose(
            curve(values, boxes, GRID, keep, "exact"), slow.overlaps(values, true, GRID, keep), atol=1e-15
        )


@pytest.mark.parametrize("keep", KEEPS)
def test_the_reference_definition_equals_a_search_with_scipys_components(keep: Keep) -> None:
    for values, boxes in zip(*some_maps(9, 60), strict=True):
        expected = slow.reference_overlaps(values, to_corners(boxes), GRID, keep)
        assert curve(values, boxes, GRID, keep, "reference").tolist() == expected


def test_of_a_thousand_thresholds_the_reference_knows_255() -> None:
    random = np.random.default_rng(0)
    assert len(np.unique(candidates(random.random((30, 30)), THRESHOLDS, "all", "reference").which)) == 255


def test_shares_thresholds_and_their_mean_by_hand() -> None:
    maps, boxes = some_maps(1, 40)
    others, other_boxes = some_maps(2, 40)
    protocol = BoxProtocol(iou=(0.3, 0.5, 0.7), keep="all", thresholds=GRID)
    met = np.array([slow.overlaps(v, to_corners(b), GRID, "all") for v, b in zip(maps, boxes, strict=True)])
    met_others = np.array(
        [slow.overlaps(v, to_corners(b), GRID, "all") for v, b in zip(others, other_boxes, strict=True)]
    )
    oracle = max_box_accuracy_v2(maps, boxes, protocol=protocol)
    tuned = max_box_accuracy_v2(maps, boxes, validation=(others, other_boxes), protocol=protocol)
    given = max_box_accuracy_v2(maps, boxes, threshold=0.35, protocol=protocol)
    assert (oracle.chosen, tuned.chosen, given.chosen) == ("oracle", "validation", "given")
    for row, iou in enumerate((0.3, 0.5, 0.7)):
        share, share_others = (met >= iou).mean(0), (met_others >= iou).mean(0)
        assert oracle.rows[row].accuracy.value == pytest.approx(share.max(), abs=1e-12)
        ties = np.flatnonzero(share_others == share_others.max())
        at = ties[len(ties) // 2]
        assert tuned.rows[row].threshold == GRID[at]
        assert tuned.rows[row].accuracy.value == pytest.approx(share[at], abs=1e-12)
        assert given.rows[row].accuracy.value == pytest.approx((met[:, 7] >= iou).mean(), abs=1e-12)
        assert np.allclose(oracle.curve[row], share)
    assert tuned.accuracy.value == pytest.approx(np.mean([row.accuracy.value for row in tuned.rows]))
    assert given.mean_overlap.value == pytest.approx(met[:, 7].mean())
    assert tuned.above_centre.value == pytest.approx(tuned.accuracy.value - tuned.centre.value)


def test_a_threshold_chosen_on_the_judged_pictures_is_called_oracle() -> None:
    maps, boxes = some_maps(1, 10)
    assert "oracle" in str(max_box_accuracy(maps, boxes))
    assert "MaxBoxAcc (oracle)" in str(max_box_accuracy(maps, boxes)).splitlines()[0]
    for honest in ({"validation": some_maps(2, 10)}, {"threshold": 0.5}):
        assert "oracle" not in str(max_box_accuracy(maps, boxes, **honest))


def test_baselines_and_intervals_are_always_printed() -> None:
    text = str(max_box_accuracy_v2(*some_maps(1, 10)))
    for word in ("centre baseline", "random boxes", "intervals of 95 %", "above it"):
        assert word in text
    assert len(re.findall(r"\[-?\d\.\d{3}, -?\d\.\d{3}\]", text)) == 5 + 3 * 3


def test_perfect_maps_score_one_and_constant_maps_nothing() -> None:
    boxes = np.array([[2, 1, 4, 3], [0, 0, 8, 2]])
    maps = np.zeros((2, 6, 8))
    for values, (x, y, width, height) in zip(maps, boxes, strict=True):
        values[y : y + height, x : x + width] = 1
    assert max_box_accuracy_v2(torch.from_numpy(maps), torch.from_numpy(boxes)).accuracy.value == 1
    flat = max_box_accuracy_v2(np.ones((2, 6, 8)), boxes)
    assert (flat.accuracy.value, flat.mean_overlap.value) == (0, 0)


def test_two_equal_components_give_the_first_box_exactly_and_the_last_by_reference() -> None:
    values = np.zeros((7, 9))
    values[0:3, 0:3], values[4:7, 5:8] = 1, 1
    boxes = np.array([[0, 0, 3, 3]]), np.array([[5, 4, 3, 3]])
    at = np.array([0.5])
    assert [curve(values, box, at, "largest", "exact")[0] for box in boxes] == [1, 0]
    first, last = (curve(values, box, at, "largest", "reference")[0] for box in boxes)
    assert first == 0
    assert last > 0.7


def test_temporal_iou_of_segments() -> None:
    maps = np.array([[0, 0, 1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0.4, 0, 0, 0]], dtype=float)
    result = temporal_iou(maps, np.array([[2, 4], [0, 2]]), threshold=0.5)
    assert result.mean_overlap.value == pytest.approx((3 / 4 + 1) / 2)
    assert [row.accuracy.value for row in result.rows] == [1, 1, 1]
    with pytest.raises(LocalizationError, match=re.escape("temporal IoU: expected maps of one axis; got 2. Use max_b")):
        temporal_iou(np.ones((1, 2, 2)), np.array([[0, 0, 1, 1]]))


def test_boxes_in_volumes_are_x_y_z_width_height_depth() -> None:
    volume = np.zeros((1, 6, 7, 8))
    volume[0, 1:3, 2:5, 3:7] = 1  # z, y, x
    assert max_box_accuracy(volume, np.array([[3, 2, 1, 4, 3, 2]])).mean_overlap.value == 1
    assert max_box_accuracy(volume, np.array([[1, 2, 3, 2, 3, 4]])).mean_overlap.value < 0.2


def test_zero_is_reported_for_contrast_maps_alone() -> None:
    maps, boxes = some_maps(3, 12)
    signed = [values - 0.5 for values in maps]
    result = max_box_accuracy(localize.Heatmaps(tuple(signed), "contrast"), boxes)
    expected = [
        slow.iou(max((slow.box_of(own) for own in found[:1]), default=((0, 0), (0, 0))), box)
        for found, box in (
            (sorted(slow.components(values > 0), key=len, reverse=True), to_corners(own[:1])[0])
            for values, own in zip(signed, boxes, strict=True)
        )
    ]
    assert result.zero is not None
    first = max_box_accuracy(localize.Heatmaps(tuple(signed), "contrast"), [own[:1] for own in boxes])
    assert first.zero is not None
    assert first.zero.value == pytest.approx(np.mean(np.array(expected) >= 0.5))
    assert "evidence > 0" in str(result)
    for view in ("raw", "unknown"):
        assert max_box_accuracy(localize.Heatmaps(tuple(signed), view), boxes).zero is None


def test_intervals_are_the_same_for_the_same_seed_and_as_wide_as_asked() -> None:
    maps, boxes = some_maps(1, 60)
    wide, narrow = (
        max_box_accuracy(maps, boxes, protocol=BoxProtocol(bootstrap=Bootstrap(confidence=level))).accuracy
        for level in (0.99, 0.5)
    )
    assert wide.low < narrow.low <= narrow.value <= narrow.high < wide.high
    assert max_box_accuracy(maps, boxes).accuracy == max_box_accuracy(maps, boxes).accuracy


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"boxes": np.ones((3, 4))}, "MaxBoxAcc: expected boxes of 2 pictures, as many as maps; got those of 3."),
    (
        {"boxes": np.ones((2, 6))},
        "expected one box (4,) or several (M, 4) for a map of 2 axes; got (1, 6) for picture 0.",
    ),
    ({"boxes": np.zeros((2, 4))}, "expected finite boxes of positive lengths; got [0.0, 0.0, 0.0, 0.0] for picture 0."),
    ({"maps": []}, "MaxBoxAcc: expected one map or more; got none."),
    ({"maps": [np.ones(3), np.ones((2, 2))]}, "axes, the same for all, none empty; got (2, 2) for picture 1."),
    ({"maps": np.full((2, 3, 3), np.nan)}, "MaxBoxAcc: expected finite maps; got NaN or Inf in that of picture 0."),
    ({"threshold": 1.0}, "expected one `threshold` from 0 to below 1, or validation, not both; got 1.0."),
    ({"threshold": 0.5, "validation": ((), ())}, "or validation, not both; got 0.5 and validation."),
    ({"validation": (np.ones((1, 4)), np.ones((1, 2)))}, "expected validation maps of 2 axes; got 1."),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG)
def test_errors(change: dict[str, Any], sentence: str) -> None:
    arguments = {"maps": np.ones((2, 3, 3)), "boxes": np.ones((2, 4)), **change}
    with pytest.raises(LocalizationError, match=re.escape(sentence)):
        max_box_accuracy(**arguments)


def test_the_reference_takes_nan_for_a_map_without_foreground_and_refuses_infinity() -> None:
    protocol, boxes = BoxProtocol(definition="reference"), np.array([[0, 0, 1, 1]])
    # Its box is pixel (0, 0) of a true box that it takes for two pixels by two.
    assert max_box_accuracy(np.full((1, 3, 3), np.nan), boxes, protocol=protocol).mean_overlap.value == 0.25
    with pytest.raises(LocalizationError, match="expected finite maps; got NaN or Inf in that of picture 0"):
        max_box_accuracy(np.full((1, 3, 3), np.inf), boxes, protocol=protocol)


def test_errors_of_the_protocol() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"iou": ()}, "`iou` above 0 and at most 1, one or more; got ()."),
        ({"iou": (1.5,)}, "`iou` above 0 and at most 1, one or more; got (1.5,)."),
        ({"keep": "some"}, '`keep` "largest" or "all"; got \'some\'.'),
        ({"definition": "theirs"}, '`definition` "exact" or "reference"; got \'theirs\'.'),
        ({"thresholds": [0.5, 0.4]}, "`thresholds` that rise from 0 or more to below 1; got [0.5, 0.4] ..."),
        ({"thresholds": [0.0, 1.0]}, "`thresholds` that rise from 0 or more to below 1; got [0.0, 1.0] ..."),
    ]
    for arguments, sentence in wrong:
        with pytest.raises(LocalizationError, match=re.escape(f"BoxProtocol: expected {sentence}")):
            BoxProtocol(**arguments)
    with pytest.raises(
        LocalizationError, match=re.escape("expected maps of two axes for the reference definition; got 1")
    ):
        temporal_iou(np.ones((1, 5)), np.ones((1, 2)), protocol=BoxProtocol(definition="reference"))
    with pytest.raises(LocalizationError, match=r"expected at least 100 resamples and a confidence .* got 10 at 0.95"):
        Bootstrap(resamples=10)
