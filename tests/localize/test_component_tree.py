"""One sweep finds what a search at every threshold finds."""

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes

from globalpool.localize import ComponentTree, components
from globalpool.localize.compiled import compiled
from globalpool.localize.component_tree import Neighbours, without_holes
from globalpool.localize.levels import THRESHOLDS, levels_of
from globalpool.localize.loops import exceeded, fill, polygon_halves
from globalpool.localize.sweep import sweep, winners
from tests.localize import slow


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.sampled_from(["corners", "faces"]), st.integers(0, 2**32 - 1))
def test_against_a_search_at_every_threshold(axes: int, top: int, neighbours: Neighbours, seed: int) -> None:
    random = np.random.default_rng(seed)
    levels = random.integers(0, top + 1, random.integers(1, 7, axes))
    weights = random.random(levels.shape)
    tree, filled = ComponentTree.of(levels, top, neighbours, weights), without_holes(levels, top)
    largest = {ties: tree.largest(ties) for ties in ("first", "last")}
    scores = random.random(len(tree.end))
    best = np.full(top, -1.0)
    tree.raise_to_best(scores, best)
    for threshold in range(top):
        expected = slow.components(levels > threshold, neighbours == "corners")
        rows = tree.at(threshold)
        rows = rows[np.argsort(tree.first[rows])]
        assert [tuple(map(tuple, tree.boxes[row].tolist())) for row in rows] == [slow.box_of(own) for own in expected]
        sizes = [sum(weights[place] for place in sorted(own)) for own in expected]
        assert np.allclose(tree.sizes[rows], sizes, rtol=1e-12)
        assert best[threshold] == max(scores[rows], default=-1)
        for found in largest.values():
            assert (found[threshold] == -1) if not expected else sizes[list(rows).index(found[threshold])] == max(sizes)
        assert np.array_equal(filled > threshold, binary_fill_holes(levels > threshold))


def test_two_equal_components_and_one_touching_the_border() -> None:
    levels = np.zeros((5, 7), dtype=int)
    levels[0, 0:2], levels[2, 3:5] = 2, 2
    tree = ComponentTree.of(levels, 2)
    assert tree.boxes[tree.largest("first")].tolist() == [[[0, 0], [1, 2]]] * 2
    assert tree.boxes[tree.largest("last")].tolist() == [[[2, 3], [3, 5]]] * 2
    assert tree.inner((5, 7)).boxes.tolist() == [[[2, 3], [3, 5]]]
    assert len(tree.end) == 2, "a component that stays the same over two thresholds stands there once"


def test_upside_down_tells_the_thresholds_of_the_background() -> None:
    levels = np.full((3, 3), 3)
    levels[1, 1] = 1
    holes = ComponentTree.of(3 - levels, 3, "faces").inner((3, 3)).upside_down()
    assert [len(holes.at(threshold)) for threshold in range(3)] == [0, 1, 1]
    assert holes.boxes.tolist() == [[[1, 1], [2, 2]]]


def test_diagonal_pixels_touch_by_corners_and_not_by_faces() -> None:
    mask = np.eye(3, dtype=bool)
    assert components(mask).boxes.tolist() == [[0, 0, 3, 3]]
    assert len(ComponentTree.of(mask.astype(int), 1, "faces").end) == 3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-0.5, 1.5, width=32), min_size=1, max_size=20), st.integers(0, 3))
def test_levels_count_thresholds_strictly_below(values: list[float], kind: int) -> None:
    thresholds = [THRESHOLDS, np.array([0.3]), np.array([0.0, 0.1, 0.11, 0.9]), np.array([0.5, 0.6, 0.7, 0.8])][kind]
    expected = [(thresholds < value).sum() for value in values]
    assert levels_of(np.array(values), thresholds).tolist() == expected
    assert levels_of(thresholds, thresholds).tolist() == list(range(len(thresholds))), "equal is not above"


def test_compiled_and_plain_loops_agree() -> None:
    random = np.random.default_rng(0)
    levels = np.pad(random.integers(0, 4, (6, 5)).astype(np.int32), 1)
    steps = np.array([-8, -7, -6, -1, 1, 6, 7, 8])
    weights = random.random(levels.size)
    both = [run(levels.reshape(-1), weights, steps, 8, 7, 3) for run in (sweep, sweep.py_func)]  # type: ignore[attr-defined]
    assert all(np.array_equal(a, b) for a, b in zip(*both, strict=True))
    end, begin, _, sizes, first = both[0]
    inside = np.pad(np.ones((6, 5), dtype=bool), 1).reshape(-1)
    cases: list[tuple[Any, tuple[Any, ...]]] = [
        (winners, (end, begin, sizes, first, 3, True)),
        (fill, (levels.reshape(-1), np.array([-7, -1, 1, 7]), inside, 3)),
        (exceeded, (random.random(30), THRESHOLDS)),
        (polygon_halves, (levels,)),
    ]
    for function, arguments in cases:
        assert np.array_equal(function(*arguments), function.py_func(*arguments))


def test_without_numba_the_plain_loop_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)

    def twice(value: float) -> float:
        return 2 * value

    assert compiled(twice) is twice
    assert twice.py_func is twice  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_lines_have_no_polygon_area(shape: tuple[int, int]) -> None:
    assert polygon_halves(np.ones(shape, dtype=np.int32)).sum() == 0
