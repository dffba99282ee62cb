"""Evidence of the clusters of a nested pool: the level between the positions and the logits."""

from typing import Unpack

from torch import Tensor, nn

from globalpool.errors import EvidenceError
from globalpool.evidence.account import account
from globalpool.evidence.choose import Classes
from globalpool.evidence.record import Evidence
from globalpool.layout import LayoutArguments
from globalpool.pools import Pool
from globalpool.pools.nested import Nested


def cluster_evidence(
    pool: Pool, tail: nn.Module, x: Tensor, classes: Classes = "top1", **layout: Unpack[LayoutArguments]
) -> Evidence:
    """What each cluster of ``Clusters`` or ``LearnedClusters`` gave each chosen logit of ``tail(pool(x))``.

    Arguments as in ``PooledHead.evidence``. ``maps (N, K', G)``, with the same logits and 0 for clusters without
    positions. A cluster of hard numbers has the sum of its positions' evidence, and what a remainder of the inner
    pool (LogMeanExp, Statistics) leaves them; shared positions have given to each cluster by their share. ``kind`` is
    that of the step from clusters to logits alone.
    """
    if not isinstance(pool, Nested):
        raise EvidenceError("cluster_evidence", "a pool of clusters, Clusters or LearnedClusters", pool.name)
    vectors, masses = pool.clusters(x, **layout)
    above = vectors.flatten(1, 2).to(pool.inner.value_dtype(x.dtype))
    mask = masses if pool.weighting == "mass" else masses > 0
    return account(pool.outer, tail, above, classes, mask=mask)
