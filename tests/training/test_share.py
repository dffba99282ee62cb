"""The interval of a share: Wilson's, with ends that the share itself never leaves."""

import pytest

from globalpool.training.predictions import share


@pytest.mark.parametrize("count", [1, 3, 7, 49, 135, 1000])
def test_the_share_lies_within_its_interval(count: int) -> None:
    for hits in {0, 1, count // 2, count - 1, count}:
        found = share([True] * hits + [False] * (count - hits))
        assert 0 <= found.low <= found.value <= found.high <= 1, (hits, count)


def test_ten_of_ten_by_hand() -> None:
    found = share([True] * 10)
    assert found.high == 1
    assert found.low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-9)  # Wilson (1927) at a share of 1
