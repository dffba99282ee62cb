"""Pool and linear layer: the part of a network between its last feature map and its logits."""

from typing import Unpack

from torch import Tensor, nn

from globalpool.evidence import Classes, Evidence, account, check_width, is_affine
from globalpool.layout import LayoutArguments
from globalpool.pools import Pool
from globalpool.pools.base import check_pool_type


class PooledHead(nn.Module):
    """``logits = tail(pool(x))`` with a linear tail.

    ``in_features``: the pooled width R * C * kept positions (``pool.out_features``). Call it with features
    ``(N, C, *S)`` or ragged ``(T, C)`` and the layout arguments of any pool; returns ``(N, num_classes)``.
    """

    def __init__(self, pool: Pool, in_features: int, num_classes: int, *, bias: bool = True) -> None:
        super().__init__()
        check_pool_type("PooledHead", pool)
        self.pool = pool
        self.tail = nn.Linear(in_features, num_classes, bias=bias)

    @property
    def affine(self) -> bool:
        """Whether the logits are an affine function of the features, in the present mode and for a fixed layout."""
        return self.pool.affine and is_affine(self.tail)

    def forward(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """Logits ``(N, K)`` in the dtype of the linear layer."""
        vectors = self.pool(x, **layout)
        check_width(self.pool, vectors.shape[1], self.tail.in_features)
        logits: Tensor = self.tail(vectors.to(self.tail.weight.dtype))
        return logits

    def evidence(self, x: Tensor, classes: Classes = "top1", **layout: Unpack[LayoutArguments]) -> Evidence:
        """What each position of ``x`` gave each chosen logit, in eval mode.

        ``classes``: "all", "top1" or "top<k>", an id, or ids ``(N,)`` or ``(N, K')``. No hook, no backward pass, no
        change to the module; differentiable where gradients are on.
        """
        return account(self.pool, self.tail, x, classes, **layout)
