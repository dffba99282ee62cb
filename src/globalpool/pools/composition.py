"""What pools made of other pools share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch

from globalpool.errors import PoolError
from globalpool.pools.base import Pool, check_pool_type


class Composition(Pool, ABC):
    """A pool whose properties are those of its members: affine if all are, in need of geometry if one is, and so on."""

    def __init__(self, members: Iterable[Pool]) -> None:
        given = tuple(members)
        for pool in given:
            check_pool_type(self.name, pool)
        dims = {pool.dim for pool in given}
        if len(dims) != 1:
            got = str([pool.dim for pool in given])
            raise PoolError(self.name, "at least one pool, and the same `dim` in all of them", got)
        empty = "raise" if any(pool.empty == "raise" for pool in given) else "zero"
        super().__init__(dim=dims.pop(), empty=empty)  # type: ignore[arg-type]

    @property
    @abstractmethod
    def members(self) -> Sequence[Pool]:
        """The pools it is made of."""

    @property
    def affine(self) -> bool:
        return all(pool.affine for pool in self.members)

    @property
    def weights_are_gradient(self) -> bool:
        return all(pool.weights_are_gradient for pool in self.members)

    @property
    def has_remainder(self) -> bool:
        return any(pool.has_remainder for pool in self.members)

    @property
    def counts_measure(self) -> bool:
        return any(pool.counts_measure for pool in self.members)

    @property
    def needs_geometry(self) -> bool:
        return any(pool.needs_geometry for pool in self.members)

    @property
    def needs_assignment(self) -> bool:
        return any(pool.needs_assignment for pool in self.members)

    def value_dtype(self, dtype: torch.dtype) -> torch.dtype:
        widest = dtype
        for pool in self.members:
            widest = torch.promote_types(widest, pool.value_dtype(dtype))
        return widest


def check_plain(where: str, *pools: Pool) -> None:
    """Raise unless the pools can work on clusters, which have neither axes nor geometry nor clusters of their own."""
    for pool in pools:
        check_pool_type(where, pool)
        if pool.dim is not None or pool.needs_geometry or pool.needs_assignment:
            got = f"{pool.name}, which needs {'an assignment' if pool.needs_assignment else 'axes or positions'}"
            raise PoolError(where, "pools that need no geometry, `dim` or assignment of their own", got)
