"""Bins and positions belong to the sample, wherever on the canvas or in space it lies."""

import re

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.errors import PoolError


def placed(axes: int) -> gp.Attention:
    position = gp.PositionGrid(*(3,) * axes)
    nn.init.normal_(position.table, generator=torch.Generator().manual_seed(0))
    return gp.Attention(3, content=None, position=position).double()


@pytest.mark.parametrize("pool", [gp.Grid(2, 3), gp.Grid(2, 2, partition="torch"), placed(2)], ids=lambda p: p.name)
def test_a_sample_in_the_middle_of_a_canvas_is_itself(pool: gp.Pool) -> None:
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    canvas, mask = torch.full((1, 3, 9, 9), torch.nan, dtype=torch.float64), torch.zeros(1, 9, 9, dtype=torch.bool)
    canvas[:, :, 3:7, 2:7], mask[:, 3:7, 2:7] = x, True
    assert_close(pool(canvas, mask=mask), pool(x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_points_far_from_the_origin_keep_their_digits(dtype: torch.dtype) -> None:
    pos = torch.arange(100)[:, None].to(dtype)
    x, ptr = torch.rand(100, 2), torch.tensor([0, 60, 100])
    for pool in (gp.Grid(4), gp.Attention(2, position=gp.PositionGrid(5))):
        near = pool(x, ptr=ptr, pos=pos)
        assert torch.equal(pool(x, ptr=ptr, pos=pos + 1_700_000_000), near)
    quarters = torch.stack([part.mean(0) for part in x[:60].split(15)]).flatten()
    assert_close(gp.Grid(4)(x, ptr=ptr, pos=pos)[0], quarters)


def test_absent_points_do_not_stretch_the_box() -> None:
    x, ptr = torch.rand(4, 1), torch.tensor([0, 4])
    pos, mask = torch.tensor([[0.0], [1.0], [2.0], [torch.nan]]), torch.tensor([True, True, True, False])
    assert_close(gp.Grid(2)(x, ptr=ptr, pos=pos, mask=mask), gp.Grid(2)(x[:3], ptr=torch.tensor([0, 3]), pos=pos[:3]))


def test_integer_bins_of_points_are_refused() -> None:
    message = 'Grid: expected cells for partition="torch"; got points (`pos`). Use partition="exact", or pass shapes.'
    with pytest.raises(PoolError, match=re.escape(message)):
        gp.Grid(2, partition="torch")(torch.rand(4, 1), ptr=torch.tensor([0, 4]), pos=torch.rand(4, 1))


class Root(nn.Module):
    """A score that is defined between 0 and 1 alone."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, coordinates: Tensor) -> Tensor:
        assert (coordinates >= 0).all()
        assert (coordinates <= 1).all()
        return (self.scale * coordinates.sum(-1, keepdim=True)).sqrt()


def test_coordinates_stay_in_the_unit_box_at_absent_places_too() -> None:
    pool = gp.Attention(3, content=None, position=Root())
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[:, 2:, 2:] = True
    pool(torch.rand(1, 3, 4, 4), mask=mask).sum().backward()
    assert isinstance(pool.position, Root)
    assert pool.position.scale.grad is not None
    assert pool.position.scale.grad.isfinite().all()


def test_position_modules_get_their_own_dtype() -> None:
    for dtype in (torch.bfloat16, torch.float64):
        pool = gp.Attention(3, content=None, position=nn.Linear(2, 1)).to(dtype)
        assert pool(torch.rand(1, 3, 4, 4).to(dtype)).dtype == dtype
