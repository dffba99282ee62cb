"""Foreground: the threshold keeps its promise, zero needs a zero, and boxes are those of the components."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from globalpool import pools
from globalpool.errors import EvidenceError, LocalizationError
from globalpool.evidence import Evidence
from globalpool.head import PooledHead
from globalpool.localize import Heatmaps, calibrate, components, foreground, heatmaps
from tests.localize import slow

Array = NDArray[Any]


def draw(random: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Maps ``(N, 12)`` that are higher on objects of 1 to 8 pixels, some of them hard to see."""
    masks = np.arange(12) < random.integers(1, 9, (count, 1))
    seen = random.gamma(2, 1, (count, 1))
    return seen * masks + random.normal(0, 1, (count, 12)), masks


def missed(maps: Array, masks: Array, threshold: float) -> Array:
    """Share of each object that is not above the threshold."""
    return np.array([1 - (own > threshold)[mask].mean() for own, mask in zip(maps, masks, strict=True)])


def slow_threshold(maps: Array, masks: Array, alpha: float) -> float:
    """The largest value of the map that may still be foreground, by trying each."""
    count, best = len(maps), -np.inf
    for value in np.unique(maps[masks]):
        risk = np.mean([(own[mask] < value).mean() for own, mask in zip(maps, masks, strict=True)])
        if (count * risk + 1) / (count + 1) <= alpha:
            best = max(best, value)
    return best


@pytest.mark.parametrize("alpha", [0.1, 0.33, 0.5, 0.9])
@pytest.mark.parametrize("ties", [True, False])
def test_the_threshold_is_the_largest_the_rule_allows(alpha: float, ties: bool) -> None:
    for seed in range(20):
        maps, masks = draw(np.random.default_rng(seed), 17)
        maps = np.round(maps) if ties else maps
        threshold = calibrate(maps, masks, alpha=alpha, scale="raw")
        value = slow_threshold(maps, masks, alpha)
        assert threshold.value == np.nextafter(value, -np.inf)
        assert threshold.missed == pytest.approx(missed(maps, masks, threshold.value).mean(), abs=1e-12)


@pytest.mark.parametrize(("alpha", "count"), [(0.1, 9), (0.1, 30), (0.3, 20)])
def test_the_promise_holds_on_average_and_is_not_wasteful(alpha: float, count: int) -> None:
    """2,000 calibrations of ``count`` pictures each: alpha - 2 / (n + 1) <= expected missed share <= alpha."""
    random = np.random.default_rng(0)
    test_maps, test_masks = draw(random, 4000)
    order = np.sort(test_maps[test_masks])
    place = np.argsort(test_maps[test_masks], kind="stable")
    lost = np.concatenate([[0], np.cumsum((1 / test_masks.sum(1)).repeat(test_masks.sum(1))[place])]) / 4000
    risks = []
    for _ in range(2000):
        threshold = calibrate(*draw(random, count), alpha=alpha, scale="raw")
        risks.append(lost[np.searchsorted(order, threshold.value, side="right")])
    error = np.std(risks) / 2000**0.5 + 0.25 / 4000**0.5  # of the calibrations, and of the pictures judged on
    assert np.mean(risks) <= alpha + 2 * error
    assert np.mean(risks) >= alpha - 2 / (count + 1) - 2 * error
    assert missed(test_maps, test_masks, threshold.value).mean() == pytest.approx(risks[-1], abs=1e-9)


def test_without_the_correction_the_promise_would_break() -> None:
    """The control: the largest threshold with a mean calibration risk of alpha misses more than alpha at n = 9."""
    random, alpha, risks = np.random.default_rng(0), 0.1, []
    test_maps, test_masks = draw(random, 1000)
    for _ in range(400):
        maps, masks = draw(random, 9)
        values = np.unique(maps[masks])
        risk = [np.mean([(own[mask] < v).mean() for own, mask in zip(maps, masks, strict=True)]) for v in values]
        best = np.nextafter(values[np.flatnonzero(np.array(risk) <= alpha)[-1]], -np.inf)
        risks.append(missed(test_maps, test_masks, best).mean())
    assert np.mean(risks) > alpha + 3 * np.std(risks) / 20


def test_calibration_is_the_default_threshold() -> None:
    random = np.random.default_rng(0)
    known, maps = draw(random, 40), draw(random, 5)[0]
    found = foreground(maps, calibration=known, alpha=0.2)
    again = foreground(maps, calibrate(*known, alpha=0.2))
    assert found.origin == again.origin == "conformal"
    scaled = np.array([slow.min_max(own) for own in maps])
    assert np.array_equal(np.array(found.masks), np.array(again.masks))
    assert np.array_equal(np.array(found.masks), scaled > found.threshold.value)  # type: ignore[union-attr]
    assert "at most 20 % of an object is missed in expectation (conformal risk control," in str(found)


def test_float32_maps_keep_pixels_that_equal_the_calibrated_value() -> None:
    maps = np.array([[0.1, 0.3, 0.7, 1.0]] * 20, dtype=np.float32)
    masks = np.array([[False, True, True, True]] * 20)
    threshold = calibrate(torch.from_numpy(maps), masks, alpha=0.2, scale="raw")
    assert threshold.missed == 0
    assert foreground(torch.from_numpy(maps), threshold).masks[0].tolist() == [False, True, True, True]


def test_calibration_that_cannot_be() -> None:
    maps, masks = draw(np.random.default_rng(0), 8)
    for count in (8,):
        sentence = (
            f"calibrate: expected 9 pictures or more for alpha 0.1; got {count}. With fewer, no threshold can pro"
        )
        with pytest.raises(LocalizationError, match=re.escape(sentence)):
            calibrate(maps, masks)
    for alpha in (0.0, 1.0, float("nan")):
        with pytest.raises(
            LocalizationError, match=r"expected `alpha` between 0 and 1, the share that may be missed; got"
        ):
            calibrate(maps, masks, alpha=alpha)
    masks[3] = False
    with pytest.raises(LocalizationError, match=re.escape("expected an object in every mask; got none for picture 3.")):
        calibrate(maps, masks, alpha=0.5)
    with pytest.raises(LocalizationError, match=re.escape('`scale` "min-max" or "raw"; got \'rank\'.')):
        calibrate(maps, masks, alpha=0.5, scale="rank")  # type: ignore[arg-type]


def evidence(classes: str = "all") -> Evidence:
    torch.manual_seed(0)
    head = PooledHead(pools.Mean(), 3, 4)
    return head.evidence(torch.randn(2, 3, 3, 4), classes).detach()


def test_zero_is_a_threshold_for_contrast_and_centred_evidence_alone() -> None:
    given = evidence()
    for view in (given.contrast(0, 2), given.centered().select(1)):
        maps = heatmaps(view, (6, 8))
        found = foreground(maps, "zero")
        assert found.origin == "zero"
        assert all(np.array_equal(mask, own > 0) for mask, own in zip(found.masks, maps.values, strict=True))
        assert "(zero)" in str(found)
    sentence = (
        "foreground: expected contrast or centered evidence for the threshold zero; got raw evidence. One vector added "
        "to every row of the head moves the zero of raw maps and changes no probability: take heatmaps("
    )
    with pytest.raises(EvidenceError, match=re.escape(sentence)):
        foreground(heatmaps(given.select(1), (6, 8)), "zero")
    with pytest.raises(EvidenceError, match=re.escape("for the threshold zero; got unknown maps.")):
        foreground(np.ones((1, 3)), "zero")


def test_heatmaps_are_the_interpolated_evidence_cut_to_each_picture() -> None:
    given = evidence().select(1)
    expected = torch.nn.functional.interpolate(given.maps, (6, 8), mode="bilinear", align_corners=False)
    for own, map_ in zip(heatmaps(given, (6, 8)).values, expected, strict=True):
        assert np.allclose(own, map_[0].numpy(), atol=1e-6)
    cut = heatmaps(given, (6, 8), sizes=torch.tensor([[6, 8], [3, 5]]))
    assert cut.shapes == [(6, 8), (3, 5)]
    with pytest.raises(EvidenceError, match=re.escape("heatmaps: expected evidence of one class a picture; got 4.")):
        heatmaps(evidence(), (6, 8))
    with pytest.raises(LocalizationError, match=re.escape("foreground: expected maps; got Evidence. Write heatmaps(")):
        foreground(given, 0.5)  # type: ignore[arg-type]


def test_a_given_threshold_is_one_of_each_maps_range_or_raw() -> None:
    maps = np.array([[-2.0, 0.0, 2.0], [0.0, 1.0, 4.0]])
    assert [mask.tolist() for mask in foreground(maps, 0.5).masks] == [[False, False, True], [False, False, True]]
    raw = foreground(maps, 0.5, scale="raw")
    assert [mask.tolist() for mask in raw.masks] == [[False, False, True], [False, True, True]]
    assert str(raw) == "foreground 50.0 % of 2 pictures, 0 without any; threshold 0.5 (given)"


def test_a_threshold_must_come_from_somewhere() -> None:
    with pytest.raises(
        LocalizationError, match=re.escape("`calibration` (maps, masks) or a `threshold`; got neither.")
    ):
        foreground(np.ones((1, 3)))
    with pytest.raises(LocalizationError, match=re.escape("`calibration` (maps, masks) or a `threshold`; got both.")):
        foreground(np.ones((1, 3)), 0.5, calibration=(np.ones((1, 3)), np.ones((1, 3), dtype=bool)))
    for wrong in ("half", True, [0.5]):
        with pytest.raises(
            LocalizationError, match=r'`threshold` as a number, "zero" or the result of `calibrate`; got'
        ):
            foreground(np.ones((1, 3)), wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_components_and_boxes_by_breadth_first_search(axes: int) -> None:
    random = np.random.default_rng(axes)
    for _ in range(30):
        mask = random.random(random.integers(1, 8, axes)) < 0.3
        found, expected = components(mask), sorted(slow.components(mask), key=len, reverse=True)
        assert found.sizes.tolist() == [len(own) for own in expected]
        for box, own in zip(found.boxes.tolist(), expected, strict=True):
            start, stop = slow.box_of(own)
            assert box == [*start[::-1], *(b - a for a, b in zip(start[::-1], stop[::-1], strict=True))]


def test_no_foreground_gives_no_box() -> None:
    found = foreground(Heatmaps((np.zeros((3, 3)), np.eye(3))), 0.5)
    assert [box.tolist() for box in found.boxes()] == [[], [[0, 0, 3, 3]]]
    assert "1 without any" in str(found)
    with pytest.raises(LocalizationError, match=re.escape("a bool mask of 1 to 3 axes; got float64 (3,).")):
        components(np.ones(3))
