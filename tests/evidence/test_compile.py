"""Head and evidence compile whole, for changing sizes, and give the same numbers."""

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.eval_frame import _debug_get_cache_entry_list

import globalpool as gp

SIZES = [
    (2, 8, 8),
    (3, 7, 9),
    (2, 5, 12),
    (4, 16, 6),
    (5, 9, 9),
    (2, 11, 13),
    (6, 4, 4),
    (3, 20, 3),
    (2, 3, 17),
    (7, 6, 5),
]


def check(pool: gp.Pool, backend: str, masked: bool) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    head = gp.PooledHead(pool, pool.out_features(6), 5)

    def both(x: Tensor, mask: Tensor | None, assignment: Tensor | None) -> tuple[Tensor, gp.Evidence]:
        return (
            head(x, mask=mask, assignment=assignment),
            head.evidence(x, "top2", mask=mask, assignment=assignment),
        )

    compiled = torch.compile(both, fullgraph=True, dynamic=True, backend=backend)
    with torch.no_grad():
        for number, (samples, height, width) in enumerate(SIZES):
            generator = torch.Generator().manual_seed(number)
            x = torch.randn(samples, 6, height, width, generator=generator)
            mask = torch.rand(samples, height, width, generator=generator) > 0.3 if masked else None
            cluster = torch.randint(0, 3, (samples, height, width), generator=generator)
            assignment = cluster if pool.needs_assignment else None
            logits, evidence = compiled(x, mask, assignment)
            expected_logits, expected = both(x, mask, assignment)
            torch.testing.assert_close(logits, expected_logits, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(evidence.maps, expected.maps, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(evidence.offset, expected.offset, rtol=1e-4, atol=1e-5)
            assert torch.equal(evidence.classes, expected.classes)
            assert evidence.kind == expected.kind
            evidence.check()
    graphs = len(_debug_get_cache_entry_list(both))
    assert 1 <= graphs <= 2, f"{graphs} graphs over {len(SIZES)} sizes"


# Every example with a mask, the first one of each pool without as well: a graph takes seconds to compile.
POOLS = [
    pytest.param(pool, number, masked, id=f"{pool.__name__}[{number}]-{'masked' if masked else 'full'}")
    for pool in gp.pools.ALL
    for number, example in enumerate(pool.examples(6, 2))
    for masked in ((True, False) if number == 0 else (True,))
    if example.dim is None
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("cls", "number", "masked"), POOLS)
def test_whole_graph_for_every_pool(cls: type[gp.Pool], number: int, masked: bool) -> None:
    check(cls.examples(6, 2)[number], "aot_eager", masked)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("pool", [gp.Mean(), gp.Max(), gp.Attention(6)], ids=lambda pool: pool.name)
def test_whole_graph_for_ragged_rows(pool: gp.Pool) -> None:
    torch._dynamo.reset()
    head = gp.PooledHead(pool, 6, 5)

    def both(x: Tensor, ptr: Tensor) -> tuple[Tensor, gp.Evidence]:
        return head(x, ptr=ptr), head.evidence(x, "top2", ptr=ptr)

    compiled = torch.compile(both, fullgraph=True, dynamic=True, backend="aot_eager")
    with torch.no_grad():
        for counts in ([3, 4], [5, 2, 2], [7, 0, 9], [2, 2, 2, 2], [11, 3]):
            x, ptr = torch.randn(sum(counts), 6), torch.tensor([0, *counts]).cumsum(0)
            logits, evidence = compiled(x, ptr)
            torch.testing.assert_close(logits, head(x, ptr=ptr), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(evidence.maps, head.evidence(x, "top2", ptr=ptr).maps, rtol=1e-4, atol=1e-5)
    assert 1 <= len(_debug_get_cache_entry_list(both)) <= 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_whole_graph_for_a_classifier() -> None:
    torch._dynamo.reset()
    model, x = gp.models.convnet(2, widths=(8, 16)).eval(), torch.randn(2, 3, 20, 16)
    compiled = torch.compile(lambda x: model.evidence(x, "all"), fullgraph=True, dynamic=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x).maps, model.evidence(x, "all").maps, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("classes", ["all", "top2", 1])
def test_whole_graph_for_a_gated_tail(classes: str | int) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    tail = nn.Sequential(
        nn.LayerNorm(6), nn.Linear(6, 8), nn.Hardswish(), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 40)
    )
    model = gp.PooledClassifier(nn.Identity(), gp.Mean(), tail).eval()
    compiled = torch.compile(lambda x: model.evidence(x, classes), fullgraph=True, dynamic=True, backend="aot_eager")
    with torch.no_grad():
        for samples, height, width in SIZES[:4]:
            x = torch.randn(samples, 6, height, width)
            evidence, expected = compiled(x).check(), model.evidence(x, classes)
            torch.testing.assert_close(evidence.maps, expected.maps, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(evidence.offset, expected.offset, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("pool", [gp.Mean(), gp.LogMeanExp(), gp.Attention(6)], ids=lambda pool: pool.name)
def test_inductor(pool: gp.Pool) -> None:
    check(pool, "inductor", masked=True)
