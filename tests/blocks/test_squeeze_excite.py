"""The block against its limits, dtypes and formats, and what it refuses."""

import re
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.blocks import SqueezeExcite
from globalpool.errors import LayoutError, PoolError
from globalpool.pools.cases import batches
from tests.blocks.cases import block_for, features


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_zero_second_layer_halves_bit_for_bit(dtype: torch.dtype) -> None:
    block = SqueezeExcite(32).to(dtype)
    nn.init.zeros_(block.expand.weight)
    nn.init.zeros_(block.expand.bias)
    x = features(3, 32, 7, 5).to(dtype)
    assert torch.equal(block(x), x / 2)
    assert torch.equal(block(x.movedim(1, -1), channel_dim=-1), x.movedim(1, -1) / 2)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_a_circular_shift_goes_through(dtype: torch.dtype, tolerance: float) -> None:
    x = features(2, 6, 9, 7).to(dtype)
    pools: list[gp.Pool] = [gp.Mean(), gp.Max(), gp.Attention(6), gp.LogMeanExp()]
    for squeeze in pools:
        block = block_for(squeeze=squeeze).to(dtype)
        for shift in ((1, 0), (4, 3), (-2, 6)):
            moved = block(x.roll(shift, (2, 3)))
            assert_close(moved, block(x).roll(shift, (2, 3)), rtol=0, atol=tolerance)
    # ... but not through a squeeze that knows places.
    block = block_for(squeeze=gp.Grid(2, 2)).to(dtype)
    assert (block(x.roll(4, 2)) - block(x).roll(4, 2)).abs().max() > 1e-2


def test_a_sample_does_not_see_its_batch() -> None:
    block, x = block_for().float(), features(4, 6, 5, 5, dtype=torch.float32)
    other = x.clone()
    other[2] = features(6, 5, 5, seed=9, dtype=torch.float32)
    kept = [0, 1, 3]
    assert torch.equal(block(x)[kept], block(other)[kept])
    rows, ptr = x.flatten(2).mT.flatten(0, 1), torch.arange(5) * 25
    others = other.flatten(2).mT.flatten(0, 1)
    same = torch.repeat_interleave(torch.arange(4), 25) != 2
    assert torch.equal(block(rows, ptr=ptr)[same], block(others, ptr=ptr)[same])


def test_gradients_agree_with_finite_differences() -> None:
    block = block_for(4, squeeze=gp.Attention(4), activation=nn.SiLU())
    x, mask = features(2, 4, 3, 2).requires_grad_(), torch.tensor([[[1, 1], [1, 0], [1, 1]], [[1, 1], [0, 0], [1, 0]]])
    parameters = list(block.parameters())

    def run(x: Tensor, *_: Tensor) -> Tensor:
        y: Tensor = block(x, mask=mask.bool())
        return y

    assert torch.autograd.gradcheck(run, (x, *parameters))
    assert torch.autograd.gradgradcheck(run, (x, *parameters), fast_mode=True)


def test_it_is_a_product_of_two_functions_and_not_affine() -> None:
    block, x, y = block_for(), features(1, 6, 8), features(1, 6, 8, seed=1)
    assert (block((x + y) / 2) - (block(x) + block(y)) / 2).abs().max() > 1e-2


def test_an_attention_squeeze_is_a_global_context_block() -> None:
    """Cao et al. (2019), section 3: context = sum_p softmax(w . x_p) x_p, then the two-layer transform."""
    block, x = block_for(squeeze=gp.Attention(6)), features(2, 6, 4, 5)
    pool = block.squeeze
    assert isinstance(pool, gp.Attention)
    assert isinstance(pool.content, nn.Linear)
    assert pool.content.weight.abs().max() > 0
    scores = torch.nn.functional.conv2d(x, pool.content.weight[..., None, None]).flatten(2).softmax(2)
    context = torch.bmm(x.flatten(2), scores.mT)[..., None]
    hidden = torch.nn.functional.conv2d(context, block.reduce.weight[..., None, None], block.reduce.bias).relu()
    gates = torch.nn.functional.conv2d(hidden, block.expand.weight[..., None, None], block.expand.bias).sigmoid()
    assert_close(block(x), gates * x, rtol=0, atol=1e-14)


@pytest.mark.parametrize("pool", [pool for cls in gp.pools.ALL for pool in cls.examples(6, 2) if pool.dim is None])
def test_every_pool_can_squeeze(pool: gp.Pool) -> None:
    block = block_for(squeeze=deepcopy(pool))
    batch = next(batches(pool, 6, 2, torch.float64))
    x = batch.x.abs()
    assert block.reduce.in_features == pool.regions * 6
    gates = block.expand(block.reduce(block.squeeze(x, **batch.arguments)).relu()).sigmoid()
    assert_close(block.gates(x, **batch.arguments), gates, rtol=0, atol=1e-14)
    assert_close(block(x, **batch.arguments), gates[..., None, None] * x, rtol=0, atol=1e-14)


def test_own_activation_and_gate_are_used() -> None:
    block, x = block_for(activation=nn.Tanh(), gate=nn.Hardsigmoid()), features(2, 6, 5)
    expected = nn.Hardsigmoid()(block.expand(block.reduce(x.mean(2)).tanh()))
    assert_close(block(x), x * expected[..., None], rtol=0, atol=1e-14)


def test_widths_are_exact() -> None:
    for channels in (1, 3, 16, 20, 64, 100):
        for reduction in (1, 2, 8, 16):
            for minimum in (1, 4):
                block = SqueezeExcite(channels, reduction=reduction, minimum=minimum)
                hidden = max(channels // reduction, minimum)
                count = sum(parameter.numel() for parameter in block.parameters())
                assert count == 2 * channels * hidden + channels + hidden
                assert f"({channels}, hidden={hidden}" in repr(block).replace("\n", "").replace("  ", "")


def test_both_layers_start_with_the_deviation_of_he() -> None:
    torch.manual_seed(0)
    block = SqueezeExcite(512, reduction=2)
    for layer in (block.reduce, block.expand):
        assert_close(layer.weight.std(), torch.tensor(2 / layer.in_features).sqrt(), rtol=0.02, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_features_keep_their_dtype_and_the_gates_their_digits(dtype: torch.dtype) -> None:
    block, x = block_for().float(), features(2, 6, 40, 50).to(dtype)
    exact = block_for()(x.double())
    for y in (block(x), block(x, mask=torch.ones(2, 40, 50, dtype=torch.bool))):
        assert y.dtype == dtype
        assert_close(y.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)
    assert block.to(dtype)(x).dtype == dtype
    assert block.gates(x).dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert block.float()(x.float()).dtype == torch.float32


def test_channels_last_tokens_and_memory_formats() -> None:
    block, x = block_for(), features(2, 6, 4, 5)
    assert torch.equal(block(x.movedim(1, -1), channel_dim=-1), block(x).movedim(1, -1))
    formatted = x.to(memory_format=torch.channels_last)
    assert block(formatted).is_contiguous(memory_format=torch.channels_last)
    assert_close(block(formatted), block(x), rtol=0, atol=1e-14)
    tokens = features(2, 9, 6)
    assert_close(block(tokens, channel_dim=-1), tokens * block.gates(tokens.mT)[:, None], rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("inplace", [False, True])
def test_it_compiles_whole(inplace: bool) -> None:
    torch._dynamo.reset()
    block = block_for(inplace=inplace).float()
    compiled = torch.compile(block, fullgraph=True, dynamic=True, backend="aot_eager")
    x, mask = features(3, 6, 5, 7, dtype=torch.float32), torch.ones(3, 5, 7, dtype=torch.bool)
    mask[1, 3:] = False
    assert_close(compiled(x, mask=mask), block(x, mask=mask))
    leaf = x.clone().requires_grad_()
    (got,) = torch.autograd.grad(compiled(leaf).square().sum(), leaf)
    (expected,) = torch.autograd.grad(block(leaf).square().sum(), leaf)
    assert_close(got, expected)
    with torch.no_grad():
        mine, theirs = x.clone(), x.clone()
        assert_close(compiled(mine), block(theirs))
        assert_close(mine, theirs)  # written on in both ways, or in neither


NOT_POOLS: list[Any] = [nn.AdaptiveAvgPool2d(1)]
WRONG: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: SqueezeExcite(6, squeeze=gp.Mean(dim=-1)),
        PoolError,
        "SqueezeExcite: expected a squeeze that reduces every axis; got dim=(-1,). A channel has one gate for all",
    ),
    (
        lambda: SqueezeExcite(6, squeeze=NOT_POOLS[0]),
        PoolError,
        "SqueezeExcite: expected `pool` to be an instance of globalpool.Pool; got AdaptiveAvgPool2d.",
    ),
    (
        lambda: SqueezeExcite(6)(torch.rand(2, 5, 4)),
        PoolError,
        "SqueezeExcite: expected 6 channels; got 5. Build it with the channels of the features; channels last needs",
    ),
    (lambda: SqueezeExcite(0), PoolError, "SqueezeExcite: expected `channels` as a whole number of at least 1; got 0."),
    (lambda: SqueezeExcite(8, reduction=0), PoolError, "expected `reduction` as a whole number of at least 1; got 0."),
    (lambda: SqueezeExcite(8, minimum=0), PoolError, "expected `minimum` as a whole number of at least 1; got 0."),
    (
        lambda: SqueezeExcite(6)(torch.rand(7, 6)),
        LayoutError,
        "Mean: expected dense features (N, C, *S) with 1, 2 or 3",
    ),
    (
        lambda: SqueezeExcite(6, squeeze=gp.Mean(empty="raise"))(torch.rand(1, 6, 3), lengths=torch.tensor([0])),
        PoolError,
        "Mean: expected at least one position in every sample; got none in samples [0].",
    ),
]


@pytest.mark.parametrize(("build", "error", "message"), WRONG, ids=[case[2][:40] for case in WRONG])
def test_what_does_not_fit_is_refused(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        build()
