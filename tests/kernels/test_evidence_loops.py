"""Pooled vectors and maps of chosen classes in one read equal those of two, and the loop written out."""

from typing import Any

import pytest
import torch
from torch import Tensor

import globalpool as gp
from globalpool import kernels
from globalpool.evidence import Evidence
from tests.kernels.test_loops import LENGTHS, pointers, random, threads

IDS: dict[str, Any] = {
    "one": 2,
    "own": torch.tensor([[1, 0], [4, 4], [2, 3]]),
    "shared": torch.tensor([[3, 1]]).expand(3, -1),
}


def both_ways(pool: gp.Pool, x: Tensor, classes: Any, **layout: Any) -> tuple[Evidence, Evidence]:
    head = gp.PooledHead(pool, x.shape[layout.get("channel_dim", 1)], 5).to(torch.promote_types(x.dtype, torch.float32))
    with torch.no_grad():
        with kernels.loops("always"), threads(2):
            ours = head.evidence(x, classes, **layout)
        with kernels.loops("never"):
            plain = head.evidence(x, classes, **layout)
    return ours, plain


def test_meta_the_loop_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    loop = kernels.sum_and_scores

    def watched(*given: Any) -> Any:
        taken.append(tuple(given[3].shape))
        return loop(*given)

    monkeypatch.setattr(kernels, "sum_and_scores", watched)
    both_ways(gp.Mean(), random(3, 6, 7, 9), IDS["shared"])
    assert taken == [(1, 2, 6)]


def agree(ours: Evidence, plain: Evidence, tolerance: float) -> None:
    ours.check()
    for a, b in ((ours.maps, plain.maps), (ours.logits, plain.logits), (ours.offset, plain.offset)):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    assert torch.equal(ours.classes, plain.classes)


@pytest.mark.parametrize("pool", [gp.Mean(), gp.Sum()], ids=lambda pool: pool.name)
@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("channel_dim", [1, -1])
@pytest.mark.parametrize("measured", [False, True])
def test_dense(pool: gp.Pool, ids: str, channel_dim: int, measured: bool) -> None:
    x = random(3, 6, 7, 9, dtype=torch.float64).movedim(1, channel_dim).contiguous()
    layout: dict[str, Any] = {"channel_dim": channel_dim}
    if measured:
        measure = random(3, 7, 9, dtype=torch.float64, seed=4).clamp(min=0)
        measure[1] = 0  # an empty sample
        x.movedim(channel_dim, 1).masked_fill_((measure == 0).unsqueeze(1), torch.nan)
        layout["mask"] = measure
    agree(*both_ways(pool, x, IDS[ids], **layout), 1e-12)


@pytest.mark.parametrize("pool", [gp.Mean(), gp.Sum()], ids=lambda pool: pool.name)
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_ragged(pool: gp.Pool, lengths: str, dtype: torch.dtype) -> None:
    ptr = pointers(LENGTHS[lengths])
    x = random(int(ptr[-1]), 12, dtype=dtype)
    ours, plain = both_ways(pool, x, torch.tensor([[3, 1]]).expand(len(ptr) - 1, -1), ptr=ptr)
    agree(
        ours, plain, {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype] * float(ptr.diff().max())
    )


def test_against_the_loop_written_out() -> None:
    x, ptr = random(9, 4, dtype=torch.float64), pointers([5, 0, 4])
    head = gp.PooledHead(gp.Mean(), 4, 3).double()
    with torch.no_grad(), kernels.loops("always"):
        maps = head.evidence(x, 1, ptr=ptr).maps
        for sample, (start, stop) in enumerate([(0, 5), (5, 5), (5, 9)]):
            for row in range(start, stop):
                slow = sum(float(head.tail.weight[1, c]) * float(x[row, c]) for c in range(4)) / (stop - start)
                assert abs(float(maps[row, 0]) - slow) < 1e-14, (sample, row)
