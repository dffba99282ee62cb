"""The pools. ``ALL`` is the one list that feeds the contract suite, the command line and the reference page."""

from globalpool.pools.attention import Attention
from globalpool.pools.base import Decomposition, Parts, Pool
from globalpool.pools.gem import GeM
from globalpool.pools.grid import Grid
from globalpool.pools.learned import Learned
from globalpool.pools.log_mean_exp import LogMeanExp
from globalpool.pools.maximum import Max
from globalpool.pools.position import PositionGrid
from globalpool.pools.sums import Mean, ScaledSum, Sum

ALL: tuple[type[Pool], ...] = (Mean, Sum, ScaledSum, Max, GeM, LogMeanExp, Grid, Attention)

__all__ = [
    "ALL",
    "Attention",
    "Decomposition",
    "GeM",
    "Grid",
    "Learned",
    "LogMeanExp",
    "Max",
    "Mean",
    "Parts",
    "Pool",
    "PositionGrid",
    "ScaledSum",
    "Sum",
]
