"""Compiled loops give the numbers of plain torch, whatever lies in memory, on any number of threads."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import globalpool as gp
from globalpool import kernels
from globalpool.errors import LayoutError
from globalpool.kernels import team
from globalpool.kernels.threads import share_out

DTYPES = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}
LENGTHS = {
    "even": [18] * 40,
    "skewed": [1, 3, 9000, 2, 700, 0, 1],
    "empty": [0, 5, 0, 0, 7, 0],
    "single rows": [1] * 30,
    "one": [5000],
    "in pieces": [3, 25_000, 0, 12_000],
}


def random(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def pointers(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def value_and_gradient(pool: gp.Pool, x: Tensor, **layout: Any) -> tuple[Tensor, Tensor]:
    leaf = x.detach().requires_grad_()
    value = pool(leaf, **layout)
    direction = random(*value.shape, dtype=value.dtype, seed=1)
    (gradient,) = torch.autograd.grad(value, leaf, direction)
    return value.detach(), gradient


def agree(pool: gp.Pool, x: Tensor, **layout: Any) -> None:
    """The loops on ``x`` against plain torch on the same numbers in float64: plain float32 is further away at times."""
    with kernels.loops("always"):
        got = value_and_gradient(pool, x, **layout)
    with kernels.loops("never"):
        leaf = x.detach().double().requires_grad_()
        value = deepcopy(pool).double()(leaf, **layout)
        (gradient,) = torch.autograd.grad(value, leaf, random(*value.shape, dtype=got[0].dtype, seed=1).double())
    for ours, exact in zip(got, (value, gradient), strict=True):
        limit = DTYPES[x.dtype] * max(1.0, exact.abs().max().item())
        assert (ours.double() - exact).abs().max().item() <= limit, pool


def test_meta_the_loops_are_taken() -> None:
    x = random(50, 4)
    with kernels.loops("always"):
        assert kernels.pays("sum", x)
    assert not kernels.pays("sum", x)
    assert kernels.pays("sum", random(1 << 12, 64))
    with kernels.loops("never"):
        assert not kernels.pays("sum", random(1 << 12, 64))


POOLS = [
    gp.Mean(),
    gp.Sum(),
    gp.Max(),
    gp.Statistics(),
    gp.Statistics(eps=0.1),
    gp.GeM(),
    gp.GeM(2.5, eps=0.1),
    gp.LogMeanExp(2.0),
    gp.LogMeanExp(-0.5),
    gp.SoftmaxPool(0.5),
    gp.Concat(gp.Mean(), gp.Max()),
    gp.Blend(gp.Max(), gp.Mean(), 0.25),
]


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("lengths", LENGTHS)
def test_ragged(pool: gp.Pool, dtype: torch.dtype, lengths: str) -> None:
    ptr = pointers(LENGTHS[lengths])
    x = random(int(ptr[-1]), 24, dtype=dtype)
    agree(pool, x, ptr=ptr)
    measure = torch.rand(x.shape[0], generator=torch.Generator().manual_seed(2))
    x = torch.where((measure < 0.3).unsqueeze(1), torch.nan, x)
    agree(pool, x, ptr=ptr, mask=torch.where(measure < 0.3, 0, measure))


@given(
    lengths=st.lists(st.integers(0, 70), min_size=1, max_size=8).filter(any),
    channels=st.integers(1, 40),
    seed=st.integers(0, 1000),
    pool=st.sampled_from(POOLS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=60, deadline=None)
def test_any_ragged_batch(lengths: list[int], channels: int, seed: int, pool: gp.Pool, dtype: torch.dtype) -> None:
    ptr = pointers(lengths)
    agree(pool, random(int(ptr[-1]), channels, dtype=dtype, seed=seed), ptr=ptr)


def memories(dtype: torch.dtype) -> dict[str, tuple[Tensor, int]]:
    """``(N, C, H, W)`` or, with channel_dim -1, ``(N, H, W, C)``, in different places of memory."""
    return {
        "contiguous": (random(3, 5, 20, 30, dtype=dtype), 1),
        "channels last": (random(3, 20, 30, 5, dtype=dtype), -1),
        "channels last in torch's sense": (
            random(3, 5, 20, 30, dtype=dtype).contiguous(memory_format=torch.channels_last),
            1,
        ),
        "cut out": (random(5, 7, 20, 33, dtype=dtype)[1:-1, 1:-1, :, 2:-1], 1),
        "cut out in lines": (random(5, 7, 20, 30, dtype=dtype)[1:-1, 1:-1], 1),
        "cut out in rows": (random(5, 22, 30, 9, dtype=dtype)[1:-1, 1:-1, :, 2:7], -1),
        "every other": (random(6, 20, 30, 10, dtype=dtype)[::2, ..., ::2], -1),
        "samples last": (random(5, 20, 30, 3, dtype=dtype).permute(3, 0, 1, 2), 1),
        "the same sample again": (random(1, 5, 20, 30, dtype=dtype).expand(3, 5, 20, 30), 1),
    }


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("memory", memories(torch.float32))
def test_dense(pool: gp.Pool, dtype: torch.dtype, memory: str) -> None:
    x, channel_dim = memories(dtype)[memory]
    agree(pool, x, channel_dim=channel_dim)
    measure = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(2))
    there = x.movedim(channel_dim, 1)
    if 0 not in x.stride():
        there.masked_fill_((measure < 0.3).unsqueeze(1), torch.nan)  # in place: it stays where it is in memory
    agree(pool, x, channel_dim=channel_dim, mask=torch.where(measure < 0.3, 0, measure))
    agree(pool, x, channel_dim=channel_dim, mask=measure > 0.5)


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
def test_the_same_bits_on_any_number_of_threads(pool: gp.Pool) -> None:
    ptr = pointers([100, 0, 30_000, 7, 2000, 1])
    ragged, dense = random(int(ptr[-1]), 33), random(4, 16, 40, 40)
    results = []
    for count in (1, 2, 3, 1, 5, 2):
        with threads(count), kernels.loops("always"):
            results.append([*value_and_gradient(pool, ragged, ptr=ptr), *value_and_gradient(pool, dense)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_several_python_threads_at_once() -> None:
    x, ptr = random(40_000, 32), pointers([10_000] * 4)
    with threads(2), kernels.loops("always"):
        expected = gp.Mean()(x, ptr=ptr)
        with ThreadPoolExecutor(8) as callers:
            results = list(callers.map(lambda _: gp.Mean()(x, ptr=ptr), range(64)))
    assert all(torch.equal(result, expected) for result in results)


def test_without_torchs_team_the_threads_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    x, ptr = random(40_000, 32), pointers([10_000] * 4)
    with threads(2), kernels.loops("always"):
        expected = gp.Mean()(x, ptr=ptr)
        monkeypatch.setattr(team, "_parallel", None)
        assert torch.equal(gp.Mean()(x, ptr=ptr), expected)


@pytest.mark.parametrize("ours", [True, False])
def test_an_error_in_any_part_is_raised_and_no_part_is_done_twice(ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if ours:
        monkeypatch.setattr(team, "_parallel", None)
    done: list[int] = []

    def work(part: int) -> None:
        done.append(part)
        if part == 3:
            raise ValueError("part 3")

    with threads(2), pytest.raises(ValueError, match=r"^part 3$"):
        share_out(8, work)
    assert len(set(done)) == len(done)
    assert 3 in done


def run(program: str, **environment: str) -> str:
    code = f"import torch, globalpool as gp\nfrom globalpool import kernels\n{program}"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, check=False, timeout=100, env={**os.environ, **environment},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


X = "x, ptr = torch.ones(40_000, 32), torch.tensor([0, 40_000])\n"
MEAN = X + "print(gp.Mean()(x, ptr=ptr).sum().item())\n"


def test_a_forked_child_has_threads_of_its_own() -> None:
    # torch's own threads do not survive the fork: in the child nothing but the pool may ask for some.
    program = f"""{X}
import os
torch.set_num_threads(2)
print(gp.Mean()(x, ptr=ptr).sum().item(), flush=True)
child = os.fork()
if child == 0:
    import threading
    print(gp.Mean()(x, ptr=ptr).sum().item(), threading.active_count(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    assert run(program) == "32.0\n32.0 2\n"


def test_workers_of_a_loader_pool_too() -> None:
    program = f"""{X}
class Bags(torch.utils.data.Dataset):
    def __len__(self): return 6
    def __getitem__(self, number): return number * gp.Mean()(x, ptr=ptr)
torch.set_num_threads(2)
Bags()[0]
print(torch.cat(list(torch.utils.data.DataLoader(Bags(), batch_size=None, num_workers=2)))[:, 0].tolist())
"""
    assert run(program) == "[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]\n"


# Numba would look for another place, and root may write anywhere.
NOWHERE_ELSE = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}


def test_a_cache_that_cannot_be_written_is_no_error() -> None:
    assert run(MEAN + "assert kernels.pays('sum', x)", NUMBA_CACHE_DIR="/dev/null/nowhere", **NOWHERE_ELSE) == "32.0\n"


def test_without_numba_everything_still_works() -> None:
    program = f"import sys; sys.modules['numba'] = None\n{MEAN}assert not kernels.pays('sum', x)"
    assert run(program) == "32.0\n"


def test_pooling_little_does_not_load_the_compiler() -> None:
    assert run("gp.Mean()(torch.ones(2, 3, 4, 4)); import sys; print('numba' in sys.modules)") == "False\n"


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("channel_dim", [1, -1])
def test_what_is_not_a_number_stays_in_its_channel_and_is_seen(pool: gp.Pool, bad: float, channel_dim: int) -> None:
    x = random(2, 3, 40).abs()
    x[1, 2, 7] = bad
    x = x.movedim(1, channel_dim).contiguous()
    with kernels.loops("never"):
        expected = pool(x, channel_dim=channel_dim)
    with kernels.loops("always"):
        got = pool(x, channel_dim=channel_dim)
    # Infinity over itself is NaN in torch's operations; a loop may know that it is infinite.
    assert torch.equal(got.isfinite(), expected.isfinite())
    torch.testing.assert_close(got[expected.isfinite()], expected[expected.isfinite()])


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
@pytest.mark.parametrize("factor", [1e-20, 1.0, 1e15])
def test_huge_and_tiny_features_far_from_zero(pool: gp.Pool, factor: float) -> None:
    x = (1000 + random(3000, 8)).double() * factor
    ptr = pointers([1000, 0, 2000])
    with kernels.loops("never"):
        expected = pool(x, ptr=ptr)
    with kernels.loops("always"):
        for own in (x, x.float()):
            got = pool(own, ptr=ptr)
            rounded = pool(own.double(), ptr=ptr) if own.dtype == torch.float32 else expected
            torch.testing.assert_close(got.double(), rounded, rtol=1e-6, atol=1e-6 * factor)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("measured", [False, True])
def test_attention_in_ragged_rows(heads: int, measured: bool) -> None:
    # Against float64: gradients of plain float32 scores are ten times further from it than those of the loops.
    ptr = pointers(LENGTHS["skewed"])
    x = random(int(ptr[-1]), 6)
    pool = gp.Attention(6, heads=heads, temperature=0.7)
    assert isinstance(pool.content, torch.nn.Linear)
    torch.nn.init.normal_(pool.content.weight, generator=torch.Generator().manual_seed(3))
    measure = torch.rand(x.shape[0], generator=torch.Generator().manual_seed(2))
    layout = {"ptr": ptr, "mask": torch.where(measure < 0.3, 0, measure) if measured else None}
    with kernels.loops("always"):
        got = value_and_gradient(pool, x, **layout)
    with kernels.loops("never"):
        leaf = x.double().requires_grad_()
        value = deepcopy(pool).double()(leaf, **layout)
        (gradient,) = torch.autograd.grad(value, leaf, random(*value.shape, seed=1).double())
    for ours, exact in zip(got, (value, gradient), strict=True):
        assert (ours.double() - exact).abs().max().item() < 3e-6


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
@pytest.mark.parametrize("place", ["one number", "one row"])
def test_measures_and_weights_that_share_their_memory(pool: gp.Pool, place: str) -> None:
    x = torch.rand(3, 5, 20, 30) + 0.1
    measure = torch.tensor(0.5).expand(3, 20, 30) if place == "one number" else torch.rand(30).expand(3, 20, 30)
    with kernels.loops("always"):
        found = pool(x, mask=measure)
    with kernels.loops("never"):
        expected = pool(x.double(), mask=measure.double().clone())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_gradients_are_rounded_to_the_nearest(dtype: torch.dtype) -> None:
    x, ptr, measure = random(60, 5, dtype=dtype).requires_grad_(), pointers([20, 40]), random(60, seed=2).abs()
    direction = random(2, 5, seed=1)
    with kernels.loops("always"):
        (got,) = torch.autograd.grad(gp.Sum()(x, ptr=ptr, mask=measure), x, direction)
    exact = measure.unsqueeze(1) * direction.repeat_interleave(torch.tensor([20, 40]), 0)
    assert torch.equal(got, exact.to(dtype))


def test_positions_that_share_the_maximum_share_its_gradient() -> None:
    ptr = pointers(LENGTHS["in pieces"])
    x = random(int(ptr[-1]), 24).clamp(max=2.0)
    agree(gp.Max(), x, ptr=ptr)
    agree(gp.Max(), x[:600].reshape(3, 200, 24), channel_dim=-1)
    agree(gp.Max(), x[:600].T.reshape(3, 8, 600).contiguous())


def test_a_large_product_is_a_product() -> None:
    x, gates = random(2, 64, 200, 200), random(2, 64, 1, 1, seed=1)
    for own in (x, x.contiguous(memory_format=torch.channels_last), x.expand(2, 64, 200, 200)[:, ::1]):
        assert torch.equal(kernels.product(own, gates), own * gates)
    assert torch.equal(kernels.product(x.double(), gates), x.double() * gates)


def test_compiled_by_torch_with_the_loops_inside() -> None:
    def step(x: Tensor) -> Tensor:
        y: Tensor = gp.Mean()(x, channel_dim=-1) + gp.GeM()(x, channel_dim=-1)
        return y

    x = random(2, 50, 4).requires_grad_()
    with kernels.loops("always"):
        expected = step(x)
        got = torch.compile(step, fullgraph=True, backend="aot_eager")(x)
        torch.testing.assert_close(got, expected)
        own, plain = (torch.autograd.grad(y.sum(), x)[0] for y in (got, expected))
        torch.testing.assert_close(own, plain)


def test_unsorted_and_foreign_sample_numbers_are_refused_by_the_fast_check_too() -> None:
    x = random(40_000, 2)
    batch = torch.arange(40_000) // 10_000
    assert gp.Mean()(x, batch=batch, size=6).shape == (6, 2)
    assert torch.equal(gp.Mean()(x, batch=batch, size=6), gp.Mean()(x, ptr=pointers([10_000] * 4 + [0, 0])))
    with pytest.raises(LayoutError, match="ascending order"):
        gp.Mean()(x, batch=batch.flip(0), size=4)
    for wrong, size in ((batch, 3), (batch - 1, 4)):
        with pytest.raises(LayoutError, match="from 0 to size - 1"):
            gp.Mean()(x, batch=wrong, size=size)


@pytest.mark.parametrize("pool", [gp.Max(), gp.Concat(gp.Mean(), gp.Max())], ids=lambda pool: pool.name)
def test_positions_that_share_the_maximum_share_it_across_the_pieces_of_a_long_sample(pool: gp.Pool) -> None:
    agree(pool, torch.ones(25_000, 24), ptr=pointers([25_000]))
    with kernels.loops("always"):
        _, gradient = value_and_gradient(pool, torch.ones(25_000, 24), ptr=pointers([25_000]))
    assert (gradient == gradient[:1]).all()
