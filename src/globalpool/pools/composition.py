"""What pools made of other pools share."""

from collections.abc import Iterable
from typing import Literal

import torch

from globalpool.errors import PoolError
from globalpool.pools.base import Pool, check_pool_type


def common_dim(where: str, pools: Iterable[Pool]) -> tuple[int, ...] | None:
    """The ``dim`` that all pools agree on."""
    pools = tuple(pools)
    for pool in pools:
        check_pool_type(where, pool)
    dims = {pool.dim for pool in pools}
    if len(dims) != 1:
        raise PoolError(where, "at least one pool, and the same `dim` in all of them", str([p.dim for p in pools]))
    return dims.pop()


def common_empty(pools: Iterable[Pool]) -> Literal["zero", "raise"]:
    """``"raise"`` if one of the pools raises for an empty sample."""
    return "raise" if any(pool.empty == "raise" for pool in pools) else "zero"


def widest_dtype(pools: Iterable[Pool], dtype: torch.dtype) -> torch.dtype:
    """The dtype that holds what all pools give for features of ``dtype``."""
    widest = dtype
    for pool in pools:
        widest = torch.promote_types(widest, pool.value_dtype(dtype))
    return widest


def check_plain(where: str, *pools: Pool) -> None:
    """Raise unless the pools can work on clusters, which have neither axes nor geometry nor clusters of their own."""
    for pool in pools:
        check_pool_type(where, pool)
        if pool.dim is not None or pool.needs_geometry or pool.needs_assignment:
            got = f"{pool.name}, which needs {'an assignment' if pool.needs_assignment else 'axes or positions'}"
            raise PoolError(where, "pools that need no geometry, `dim` or assignment of their own", got)
