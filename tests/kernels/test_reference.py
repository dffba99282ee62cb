"""The primitives against plain loops."""

import pytest
import torch

from globalpool import kernels


def rows(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("rest", [(), (3,), (2, 3)])
def test_segments_against_a_loop(rest: tuple[int, ...]) -> None:
    values, segment, segments = rows(7, *rest), torch.tensor([1, 1, 1, 3, 3, 4, 4]), 6
    sums, tops = torch.zeros(segments, *rest, dtype=torch.float64), torch.full((segments, *rest), -torch.inf).double()
    for value, place in zip(values, segment.tolist(), strict=True):
        sums[place] = sums[place] + value
        tops[place] = torch.maximum(tops[place], value)
    torch.testing.assert_close(kernels.segment_sum(values, segment, segments), sums)
    assert torch.equal(kernels.segment_max(values, segment, segments), tops)


def test_float32_segments_are_added_in_float64() -> None:
    values = torch.full((100_001,), 0.1)
    exact = values.double().sum().item()
    got = kernels.segment_sum(values, torch.zeros(100_001, dtype=torch.long), 1)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(exact, rel=6e-8)


def test_half_precision_is_added_in_float32() -> None:
    ones = torch.ones(5000, dtype=torch.float16)
    assert kernels.segment_sum(ones, torch.zeros(5000, dtype=torch.long), 1).item() == 5000
    assert kernels.dense_sum(ones, (0,)).item() == 5000
    assert kernels.dense_sum(ones, ()).dtype == torch.float32


def test_maximum_over_an_axis_of_length_zero() -> None:
    assert kernels.dense_max(torch.zeros(2, 0, 3), (1,)).tolist() == [[-torch.inf] * 3] * 2
    assert kernels.dense_max(torch.zeros(2, 4, 0), (-1, -2)).tolist() == [-torch.inf] * 2


@pytest.mark.parametrize("length", [1, 1024, 2048, 2049, 5000])
def test_blocked_matmul_is_a_matmul(length: int) -> None:
    left, right = rows(2, 3, length), rows(2, length, 4)
    torch.testing.assert_close(
        kernels.blocked_matmul(left.float(), right.float()).double(), left @ right, rtol=0, atol=2e-4
    )
    torch.testing.assert_close(kernels.blocked_matmul(left, right), left @ right)
