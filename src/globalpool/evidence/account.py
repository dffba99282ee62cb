"""From pool, tail and features to logits and evidence, in one pass and without touching the modules."""

from typing import Unpack

import torch
from torch import Tensor, nn

from globalpool import kernels
from globalpool.errors import EvidenceError
from globalpool.evidence.choose import Classes, choose
from globalpool.evidence.record import Evidence
from globalpool.evidence.tails import AffineMap, affine_map
from globalpool.layout import LayoutArguments
from globalpool.pools import Pool


def account(pool: Pool, tail: nn.Module, x: Tensor, classes: Classes, **layout: Unpack[LayoutArguments]) -> Evidence:
    """Evidence of ``tail(pool(x))`` in eval mode; the arguments of ``PooledHead.evidence``.

    ``E[k, p] = sum over regions and channels of W[k, r, c] a[r, c, p] x[c, p]``; the offset is the tail's constant
    plus the tail of the pool's remainder, never a difference.
    """
    features, arranged = pool.arrange(x, **layout)
    parts = pool.parts(features, arranged)
    vectors = pool.value(features, arranged, parts).to(pool.value_dtype(x.dtype))
    line = affine_map(tail)
    check_width(pool, vectors.flatten(1).shape[1], line.weight.shape[1])
    all_logits = line(vectors.flatten(1))
    ids, shared = choose(classes, all_logits)
    dtype = kernels.accumulation_dtype(line.weight.dtype)
    rows, offset = _rows(line, ids, shared, dtype)
    rows = rows.reshape(*rows.shape[:2], *vectors.shape[1:3], -1)
    maps = arranged.contract(features, parts.weights, rows)
    if parts.remainder is not None:
        offset = offset + torch.einsum("nkf,nf->nk", rows.flatten(2), parts.remainder.flatten(1).to(dtype))
    return Evidence(
        maps=maps,
        classes=ids,
        logits=all_logits.gather(1, ids),
        offset=offset.expand(ids.shape),
        layout=arranged,
        kind="linear" if pool.affine else "weighted",
        num_classes=line.weight.shape[0],
    )


def _rows(line: AffineMap, ids: Tensor, shared: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Rows ``(N or 1, K', F)`` and constants ``(N or 1, K')`` of the chosen classes."""
    weight, constant = line.weight.to(dtype), line.offset().to(dtype)
    if not shared:
        return weight[ids], constant[ids]
    if ids.shape[1] == weight.shape[0]:
        return weight.unsqueeze(0), constant.unsqueeze(0)
    return weight[ids[:1]], constant[ids[:1]]


def check_width(pool: Pool, got: int, expected: int) -> None:
    """Raise unless the pooled width fits the tail."""
    if got != expected:
        raise EvidenceError(
            pool.name,
            f"pooled vectors of width {expected}, the tail's input",
            f"{got} = regions ({pool.regions}) * channels * kept positions",
            "Build the head with in_features=pool.out_features(channels, kept).",
        )
