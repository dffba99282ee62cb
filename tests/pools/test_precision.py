"""What half precision and long sums must not lose."""

import pytest
import torch

import globalpool as gp


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 64)])
def test_float16_ones_average_to_one(shape: tuple[int, ...]) -> None:
    x = torch.ones(1, 2, *shape, dtype=torch.float16)
    ptr = torch.tensor([0, x[0, 0].numel()])
    for pool in (gp.Mean(), gp.GeM(), gp.Max(), gp.Grid(*(2,) * len(shape)), gp.Attention(2)):
        rows = pool(x.flatten(2)[0].T, ptr=ptr, shapes=torch.tensor([shape]))
        for y in (pool(x), pool(x, mask=torch.ones(1, *shape, dtype=torch.bool)), rows):
            assert y.dtype == torch.float16
            assert (y == 1).all(), pool


def test_float16_sum_returns_the_range_it_needs() -> None:
    y = gp.Sum()(torch.ones(1, 1, 64, 64, 64, dtype=torch.float16))
    assert y.dtype == torch.float32
    assert y.item() == 64**3
    assert gp.ScaledSum(0.1)(torch.ones(1, 1, 512, 512, dtype=torch.float16)).item() == pytest.approx(2**16.2, rel=1e-5)


def test_bfloat16_mean_of_many_rows_is_one_rounding_from_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(100_000, 4, generator=generator) + torch.tensor([0.0, 0.1, 1.0, 100.0])).bfloat16()
    exact = x.double().mean(0)
    for y in (
        gp.Mean()(x, ptr=torch.tensor([0, 100_000]))[0],
        gp.Mean()(x.T[None])[0],
        gp.Mean()(x[None], channel_dim=-1)[0],
    ):
        spacing = torch.finfo(torch.bfloat16).eps * exact.abs()
        assert ((y.double() - exact).abs() <= spacing).all()


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_float32_mean_of_200_000_rows(offset: float) -> None:
    x = torch.randn(200_000, 4, generator=torch.Generator().manual_seed(0)) + offset
    exact = x.double().mean(0)
    ones = torch.ones(1, 200_000)
    for y in (
        gp.Mean()(x, ptr=torch.tensor([0, 200_000])),
        gp.Mean()(x.T[None].contiguous()),
        gp.Mean()(x[None], channel_dim=-1),
        gp.Mean()(x[None], channel_dim=-1, mask=ones),
        gp.Attention(4)(x[None], channel_dim=-1),
        gp.Attention(4)(x.T[None].contiguous()),
    ):
        assert (y[0].double() - exact).abs().max().item() < 1e-6


def test_weights_of_half_features_are_float32() -> None:
    parts = gp.Attention(3).decompose(torch.randn(2, 3, 5, dtype=torch.float16))
    assert (parts.value.dtype, parts.weights.dtype, parts.remainder.dtype) == (
        torch.float16,
        torch.float32,
        torch.float32,
    )
