"""Compiled loops give the numbers of plain torch, whatever lies in memory, on any number of threads."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

import globalpool as gp
from globalpool import kernels

DTYPES = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}
LENGTHS = {
    "even": [18] * 40,
    "skewed": [1, 3, 9000, 2, 700, 0, 1],
    "empty": [0, 5, 0, 0, 7, 0],
    "single rows": [1] * 30,
    "one": [5000],
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
    with kernels.loops("never"):
        expected = value_and_gradient(pool, x, **layout)
    with kernels.loops("always"):
        got = value_and_gradient(pool, x, **layout)
    for ours, plain in zip(got, expected, strict=True):
        limit = DTYPES[x.dtype] * max(1.0, plain.double().abs().max().item())
        assert (ours.double() - plain.double()).abs().max().item() <= limit, pool


def test_meta_the_loops_are_taken() -> None:
    x = random(50, 4)
    with kernels.loops("always"):
        assert kernels.pays(x)
    assert not kernels.pays(x)
    assert kernels.pays(random(1 << 12, 64))
    with kernels.loops("never"):
        assert not kernels.pays(random(1 << 12, 64))


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
]


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("lengths", LENGTHS)
def test_ragged(pool: gp.Pool, dtype: torch.dtype, lengths: str) -> None:
    ptr = pointers(LENGTHS[lengths])
    x = random(int(ptr[-1]), 24, dtype=dtype)
    agree(pool, x, ptr=ptr)
    measure = torch.rand(x.shape[0], generator=torch.Generator().manual_seed(2))
    agree(pool, x, ptr=ptr, mask=torch.where(measure < 0.3, 0, measure))


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
        "cut out in rows": (random(5, 20, 30, 9, dtype=dtype)[1:-1, ..., 2:7], -1),
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
    print(gp.Mean()(x, ptr=ptr).sum().item(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    assert run(program) == "32.0\n32.0\n"


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


def test_a_cache_that_cannot_be_written_is_no_error() -> None:
    assert run(MEAN + "assert kernels.pays(x)", NUMBA_CACHE_DIR="/dev/null/nowhere") == "32.0\n"


def test_without_numba_everything_still_works() -> None:
    program = f"import sys; sys.modules['numba'] = None\n{MEAN}assert not kernels.pays(x)"
    assert run(program) == "32.0\n"


def test_pooling_little_does_not_load_the_compiler() -> None:
    assert run("gp.Mean()(torch.ones(2, 3, 4, 4)); import sys; print('numba' in sys.modules)") == "False\n"
