"""A pool in the place of a readout or an aggregation of PyTorch Geometric."""

from typing import Any, cast

import torch
from torch import Tensor

from globalpool.errors import LayoutError
from globalpool.extras import need
from globalpool.pools import Pool
from globalpool.pools.base import check_pool_type

Aggregation: Any = need("torch_geometric.nn", "graphs", "PoolAggregation").Aggregation


class PoolAggregation(Aggregation):  # type: ignore[misc]
    """``torch_geometric.nn.Aggregation`` by a pool: ``GINConv(mlp, aggr=PoolAggregation(gp.Max()))``, or a readout.

    ``(T, C)`` with ``index (T,)``, sorted or not, or ``ptr``, to ``(dim_size, regions * C)``; ``dim`` must name the
    rows. Sets without rows give zeros. Without an adapter a pool is called as ``pool(x, batch=batch, size=size)``.
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        check_pool_type("PoolAggregation", pool)
        self.pool = pool

    def reset_parameters(self) -> None:
        """Give the pool's layers new random numbers."""
        for module in self.pool.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        max_num_elements: int | None = None,
    ) -> Tensor:
        """``(dim_size, regions * C)``."""
        if x.ndim != 2 or dim not in (0, -2):
            got = f"{tuple(x.shape)} along axis {dim}"
            raise LayoutError("PoolAggregation", "rows (T, C) aggregated along their first axis", got)
        if ptr is not None:
            return cast(Tensor, self.pool(x, ptr=ptr))
        if index is None:
            index, dim_size = torch.zeros(len(x), dtype=torch.long, device=x.device), 1
        if not bool((index[1:] >= index[:-1]).all()):
            index, order = index.sort(stable=True)
            x = x[order]
        return cast(Tensor, self.pool(x, batch=index, size=dim_size))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pool})"
