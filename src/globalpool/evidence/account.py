"""From pool, tail and features to logits and evidence, in one pass and without changing the modules."""

from dataclasses import replace
from typing import Unpack

import torch
from torch import Tensor, nn

from globalpool import kernels
from globalpool.errors import EvidenceError
from globalpool.evidence.choose import Classes, choose
from globalpool.evidence.held import Held
from globalpool.evidence.hold import hold
from globalpool.evidence.modes import evaluating
from globalpool.evidence.once import pooled_with_maps
from globalpool.evidence.pieces import Picked
from globalpool.evidence.record import TOLERANCES, Evidence, Kind
from globalpool.evidence.tails import AffineMap, affine_map, is_chain
from globalpool.layout import Dense, Layout, LayoutArguments, product
from globalpool.pools import Pool
from globalpool.pools.base import Parts


def account(pool: Pool, tail: nn.Module, x: Tensor, classes: Classes, **layout: Unpack[LayoutArguments]) -> Evidence:
    """Evidence of ``tail(pool(x))`` in eval mode; the arguments of ``PooledHead.evidence``.

    ``E[k, p] = sum over regions and channels of W[k, r, c] a[r, c, p] x[c, p]``, ``W`` being the tail's matrix or, for
    a tail with norms or activations, the linear map it applied to this sample. The offset is the tail's constant
    plus the tail of the pool's remainder, never a difference. The logits come from the modules themselves, so that
    the residual also tests what was read off them.
    """
    features, arranged = pool.arrange(x, **layout)
    with evaluating(pool, tail):
        line = affine_map(tail) if is_chain(tail) else None
        if line is not None and not isinstance(classes, str):
            ids, rows, offset = _chosen(classes, line, line.bias.expand(arranged.samples, -1))
            at_once = pooled_with_maps(pool, features, arranged, rows)
            if at_once is not None:
                value, maps = at_once[0].to(pool.value_dtype(x.dtype)), at_once[1]
                all_logits: Tensor = tail(value.flatten(1).to(line.weight.dtype))
                return _record(pool, line, x, value, all_logits, ids, rows, maps, offset, arranged)
        parts = pool.parts(features, arranged)
        value = pool.pooled(features, arranged, parts).to(pool.value_dtype(x.dtype))
        if line is None:
            first = next(tail.parameters(), None)
            held = hold(tail, value.flatten(1) if first is None else value.flatten(1).to(first.dtype))
            return _gated(pool, held, features, arranged, parts, value, classes)
        check_width(pool, value.flatten(1).shape[1], line.weight.shape[1])
        all_logits = tail(value.flatten(1).to(line.weight.dtype))
    ids, rows, offset = _chosen(classes, line, all_logits)
    kept = product(arranged.kept_shape)
    with kernels.full_precision(x.device):
        shaped = rows.reshape(*rows.shape[:2], value.shape[1], value.shape[2], kept)
        maps = arranged.contract(features, parts.weights, shaped)
        if parts.remainder is not None:
            offset = offset + (rows * parts.remainder.flatten(1).to(rows.dtype).unsqueeze(1)).sum(2)
    return _record(pool, line, x, value, all_logits, ids, rows, maps, offset, arranged)


def _chosen(classes: Classes, line: AffineMap, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ids ``(N, K')``, the tail's rows ``(N or 1, K', F)`` and constants ``(N or 1, K')`` for them."""
    ids, shared = choose(classes, logits)
    dtype = kernels.accumulation_dtype(line.weight.dtype)
    weight, constant = line.weight.to(dtype), line.bias.to(dtype)
    if not shared:
        return ids, weight[ids], constant[ids]
    if isinstance(classes, int):
        return ids, weight[classes][None, None], constant[classes].reshape(1, 1)
    if isinstance(classes, str):
        return ids, weight.unsqueeze(0), constant.unsqueeze(0)
    return ids, weight[ids[:1]], constant[ids[:1]]


def _record(
    pool: Pool, line: AffineMap, x: Tensor, value: Tensor, all_logits: Tensor, ids: Tensor, rows: Tensor, maps: Tensor,
    offset: Tensor, arranged: Layout,
) -> Evidence:  # fmt: skip
    evidence = Evidence(
        maps=maps,
        classes=ids,
        logits=all_logits.gather(1, ids),
        offset=offset.expand(ids.shape),
        layout=arranged,
        kind="linear" if pool.affine else "weighted",
        num_classes=line.weight.shape[0],
        tolerance=max(TOLERANCES[dtype] for dtype in (x.dtype, line.weight.dtype, all_logits.dtype)),
    )
    # Maps hide what cancels between channels (large features, layers multiplied out); roundings are of the terms' size.
    terms = _sizes(rows.detach(), value.detach().flatten(1).to(rows.dtype))
    return replace(evidence, magnitude=torch.maximum(evidence.size(), terms))


def _sizes(rows: Tensor, vectors: Tensor) -> Tensor:
    """``sum over f of |rows (N or 1, K', F) vectors (N, F)|``, ``(N, K')``."""
    if rows.shape[0] == 1:
        return vectors.abs() @ rows[0].abs().T
    return torch.einsum("nkf,nf->nk", rows.abs(), vectors.abs())


def _gated(
    pool: Pool, held: Held, features: Tensor, arranged: Layout, parts: Parts, value: Tensor, classes: Classes
) -> Evidence:
    """Evidence through a held tail: rows pulled back to the pooled vector, or positions pushed through the tail.

    Both give the same numbers; few classes are cheaper pulled, many are cheaper pushed.
    """
    ids, shared = choose(classes, held.logits)
    dtype = kernels.accumulation_dtype(held.logits.dtype)
    with kernels.full_precision(features.device):
        own = ids[:1] if shared and ids.shape[0] else ids
        every = isinstance(classes, str) and classes == "all"
        tops, constant = held.tops(Picked(own, torch.ones_like(own, dtype=dtype), every))
        offset = held.offset(None if parts.remainder is None else parts.remainder.flatten(1), tops, constant)
        if isinstance(arranged, Dense) and _cheaper_pushed(held, tops, arranged, ids):
            pushed = held.push(_weighted(features, arranged, parts, dtype), tops)
            maps = arranged.from_last(pushed.unflatten(1, arranged.spatial))
        else:
            rows = held.pull(tops).flatten(2)
            kept = product(arranged.kept_shape)
            shaped = rows.reshape(*rows.shape[:2], value.shape[1], value.shape[2], kept)
            maps = arranged.contract(features, parts.weights, shaped)
        vectors = value.detach().to(dtype).reshape(-1, *held.shape)
        # Where layers come before the last matrix, their own terms would cost as much as the logits.
        terms = None if held.work(tops) else held.terms(vectors, tops).detach()
    affine: Kind = "linear" if pool.affine else "weighted"
    evidence = Evidence(
        maps=maps,
        classes=ids,
        logits=held.logits.gather(1, ids),
        offset=offset.expand(ids.shape),
        layout=arranged,
        kind=affine if held.affine else "gated",
        num_classes=held.logits.shape[1],
        tolerance=max(TOLERANCES[dtype] for dtype in (features.dtype, held.logits.dtype)),
    )
    return evidence if terms is None else replace(evidence, magnitude=torch.maximum(evidence.size(), terms))


def _cheaper_pushed(held: Held, tops: dict[int, Tensor], arranged: Dense, ids: Tensor) -> bool:
    """Whether pushing every position costs less than pulling every class; with kept axes positions are never pushed."""
    samples, classes = ids.shape
    if arranged.kept_shape or not held.work(tops):
        return False
    return samples * product(arranged.spatial) < classes * (1 if held.affine else samples)


def _weighted(features: Tensor, arranged: Dense, parts: Parts, dtype: torch.dtype) -> Tensor:
    """What each position puts into the pooled vector, ``(N, P, R * C)``."""
    x, a = features.to(dtype).flatten(2), parts.weights.to(dtype).flatten(3)
    return (a * x.unsqueeze(1)).permute(0, 3, 1, 2).flatten(2)


def check_width(pool: Pool, got: int, expected: int) -> None:
    """Raise unless the pooled width fits the tail."""
    if got != expected:
        raise EvidenceError(
            pool.name,
            f"pooled vectors of width {expected}, the tail's input",
            f"{got} = regions ({pool.regions}) * channels * kept positions",
            "Build the head with in_features=pool.out_features(channels, kept); channels last needs channel_dim=-1.",
        )
