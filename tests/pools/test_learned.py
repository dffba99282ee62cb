"""Learned exponents and temperatures stay valid while they are trained."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import globalpool as gp
from globalpool.errors import PoolError

POOLS: dict[str, Callable[[], gp.Pool]] = {
    "GeM": lambda: gp.GeM(p=gp.Learned(3.0)),
    "GeM, one a channel": lambda: gp.GeM(p=gp.Learned(3.0, channels=4)),
    "LogMeanExp": lambda: gp.LogMeanExp(r=gp.Learned(1.0, channels=4)),
    "Attention": lambda: gp.Attention(4, temperature=gp.Learned(1.0), position=gp.PositionGrid(3, 3)),
    "ScaledSum": lambda: gp.ScaledSum(gamma=nn.Parameter(torch.tensor(0.5))),
}


@pytest.mark.parametrize("towards", ["maximum", "minimum"])
@pytest.mark.parametrize("name", POOLS)
def test_200_optimiser_steps(name: str, towards: str) -> None:
    torch.manual_seed(0)
    pool = POOLS[name]()
    before = [parameter.detach().clone() for parameter in pool.parameters()]
    optimiser = torch.optim.Adam(pool.parameters(), lr=0.1)
    x = torch.randn(8, 4, 5, 5).relu()
    mask = torch.rand(8, 5, 5) > 0.3
    mask[3] = False
    for _ in range(200):
        y = pool(x, mask=mask)
        loss = -y.sum() if towards == "maximum" else y.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        assert loss.isfinite()
    for old, new in zip(before, pool.parameters(), strict=True):
        assert new.isfinite().all()
        assert (new != old).any(), "the parameter must have moved"


def test_learned_is_positive_and_starts_where_told() -> None:
    number = gp.Learned(2.5, channels=3)
    assert torch.allclose(number(), torch.full((3,), 2.5))
    with torch.no_grad():
        number.log.sub_(500)
    assert (number() > 1e-18).all()
    with torch.no_grad():
        number.log.add_(1000)
    assert (number() < 1e18).all()
    with pytest.raises(PoolError, match=r"Learned: expected a positive initial value between 1e-17 and 1e17; got -1"):
        gp.Learned(-1.0)
