"""Nested tensors are pooled as the ragged rows they hold."""

import pytest
import torch
from torch import Tensor

import globalpool as gp
from globalpool.errors import LayoutError


def nested(lengths: list[int], channels: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, pointers and the nested tensor made of them."""
    rows = torch.randn(sum(lengths), channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return rows, offsets, torch.nested.nested_tensor_from_jagged(rows, offsets)


@pytest.mark.parametrize("pool", [gp.Mean(), gp.Max(), gp.LogMeanExp(), gp.Statistics()], ids=lambda pool: pool.name)
def test_a_nested_tensor_is_its_rows(pool: gp.Pool) -> None:
    rows, offsets, x = nested([2, 5, 1, 4])
    assert torch.equal(pool(x), pool(rows, ptr=offsets))
    assert torch.equal(pool(x.transpose(1, 2)), pool(rows, ptr=offsets))


def test_its_gradient_and_its_evidence() -> None:
    rows, offsets, x = nested([2, 5])
    leaf = x.values().clone().requires_grad_()
    gp.Mean()(torch.nested.nested_tensor_from_jagged(leaf, offsets)).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad[0, 0].item() == 0.5
    assert leaf.grad[6, 0].item() == 0.2
    head = gp.PooledHead(gp.Mean(), 3, 2).double()
    assert torch.equal(head.evidence(x, "all").maps, head.evidence(rows, "all", ptr=offsets).maps)


def test_uneven_groups_are_not_padded() -> None:
    # 4,096 groups of which one has a million rows: padded they would be 4.3 thousand million rows.
    lengths = torch.ones(4096, dtype=torch.long)
    lengths[7] = 1_000_000
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    x = torch.nested.nested_tensor_from_jagged(torch.ones(int(offsets[-1]), 4), offsets)
    y = gp.Mean()(x)
    assert y.shape == (4096, 4)
    assert (y == 1).all()


def test_what_it_cannot_be() -> None:
    rows, offsets, x = nested([2, 5])
    with pytest.raises(LayoutError, match="a nested tensor alone"):
        gp.Mean()(x, ptr=offsets)
    holes = torch.nested.nested_tensor_from_jagged(rows, offsets, lengths=torch.tensor([1, 2]))
    with pytest.raises(LayoutError, match="no holes"):
        gp.Mean()(holes)
    with pytest.raises(LayoutError, match=r"torch\.jagged"), pytest.warns(UserWarning, match="prototype"):
        gp.Mean()(torch.nested.nested_tensor([rows[:2], rows[2:]]))
