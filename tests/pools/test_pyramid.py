"""Spatial pyramid: grids of several levels side by side."""

import re
from typing import Any

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d
from torch.testing import assert_close

import globalpool as gp
from globalpool import pools
from globalpool.errors import PoolError
from tests.pools.columns import noise
from tests.pools.slow import Column, Sample, grid, rule


@rule(pools.Pyramid)
def pyramid(pool: Any, column: Column, sample: Sample, r: int, c: int) -> tuple[list[float], float]:
    for level in pool.grids:
        if r < level.regions:
            return grid(level, column, sample, r, c)
        r -= level.regions
    raise AssertionError("more regions than levels hold")


def test_widths_of_the_usual_pyramids() -> None:
    assert gp.Pyramid((1, 2, 4)).out_features(256) == 21 * 256
    assert gp.Pyramid((1, 2, 3, 6)).out_features(256) == 50 * 256
    assert gp.Pyramid((1, 2), axes=3).regions == 9
    assert gp.Pyramid(((1, 4), 2)).regions == 8


@pytest.mark.parametrize("sides", [(8, 8), (7, 7), (5, 11)])
def test_levels_are_the_adaptive_pools_and_the_first_is_the_mean(sides: tuple[int, int]) -> None:
    x = noise(2, 3, *sides)
    value = gp.Pyramid((1, 2, 4), partition="torch").decompose(x).value
    levels = [adaptive_avg_pool2d(x, level).flatten(2).mT for level in (1, 2, 4)]
    assert_close(value, torch.cat(levels, 1), rtol=0, atol=1e-14)
    exact = gp.Pyramid((1, 2, 4)).decompose(x).value
    for level in (exact[:, :1], exact[:, 1:5], exact[:, 5:]):
        assert_close(level.mean(1), gp.Mean()(x), rtol=0, atol=1e-14)


WRONG: list[tuple[Any, str]] = [
    (lambda: gp.Pyramid(4), "Pyramid: expected `levels` as a sequence of at least one; got 4. As Pyramid((1, 2, 4))."),  # type: ignore[arg-type]
    (
        lambda: gp.Pyramid(()),
        "Pyramid: expected `levels` as a sequence of at least one; got (). As Pyramid((1, 2, 4)).",
    ),
    (
        lambda: gp.Pyramid((1, (2, 2, 2))),
        "Pyramid: expected levels as one number, or 2 of them; got (1, (2, 2, 2)). See",
    ),
    (
        lambda: gp.Pyramid((1, 2))(torch.rand(1, 2, 5)),
        "Pyramid: expected 1 numbers of bins, one for each reduced axis; got (1, 1). Write Grid(2) or Pyramid(axes=1).",
    ),
]


@pytest.mark.parametrize(("build", "message"), WRONG, ids=[case[1][:40] for case in WRONG])
def test_wrong_levels_are_refused(build: Any, message: str) -> None:
    with pytest.raises(PoolError, match=re.escape(message)):
        build()
