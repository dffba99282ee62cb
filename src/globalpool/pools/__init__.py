"""The pools. ``ALL`` is the one list that feeds the contract suite, the command line and the reference page."""

from globalpool.pools.annealed import Annealed
from globalpool.pools.attention import Attention
from globalpool.pools.attentive_statistics import AttentiveStatistics
from globalpool.pools.balance import balance_loss, usage_entropy
from globalpool.pools.base import Decomposition, Parts, Pool
from globalpool.pools.blend import Blend
from globalpool.pools.clusters import Clusters
from globalpool.pools.concat import Concat
from globalpool.pools.gated_attention import GatedAttention
from globalpool.pools.gem import GeM
from globalpool.pools.graph_losses import (
    DiffPoolLosses,
    MinCutLosses,
    coarsened_adjacency,
    diffpool_losses,
    mincut_losses,
)
from globalpool.pools.grid import Grid
from globalpool.pools.latent_attention import LatentAttention
from globalpool.pools.learned import Learned, LearnedShare
from globalpool.pools.learned_clusters import LearnedClusters
from globalpool.pools.log_mean_exp import LogMeanExp
from globalpool.pools.maximum import Max
from globalpool.pools.position import PositionGrid, PositionSine
from globalpool.pools.pyramid import Pyramid
from globalpool.pools.region_of_interest import RegionOfInterest, bias_for_mass, region_mass
from globalpool.pools.regions import LearnedRegions
from globalpool.pools.softmax_pool import SoftmaxPool
from globalpool.pools.statistics import Statistics
from globalpool.pools.sums import Mean, ScaledSum, Sum
from globalpool.pools.top_k import TopK

ALL: tuple[type[Pool], ...] = (
    Mean,
    Sum,
    ScaledSum,
    Max,
    TopK,
    GeM,
    LogMeanExp,
    SoftmaxPool,
    Statistics,
    AttentiveStatistics,
    Grid,
    Pyramid,
    LearnedRegions,
    Attention,
    GatedAttention,
    LatentAttention,
    Clusters,
    LearnedClusters,
    Concat,
    Blend,
)

__all__ = [
    "ALL",
    "Annealed",
    "Attention",
    "AttentiveStatistics",
    "Blend",
    "Clusters",
    "Concat",
    "Decomposition",
    "DiffPoolLosses",
    "GatedAttention",
    "GeM",
    "Grid",
    "LatentAttention",
    "Learned",
    "LearnedClusters",
    "LearnedRegions",
    "LearnedShare",
    "LogMeanExp",
    "Max",
    "Mean",
    "MinCutLosses",
    "Parts",
    "Pool",
    "PositionGrid",
    "PositionSine",
    "Pyramid",
    "RegionOfInterest",
    "ScaledSum",
    "SoftmaxPool",
    "Statistics",
    "Sum",
    "TopK",
    "balance_loss",
    "bias_for_mass",
    "coarsened_adjacency",
    "diffpool_losses",
    "mincut_losses",
    "region_mass",
    "usage_entropy",
]
