"""From pool, tail and features to logits and evidence, in one pass and without changing the modules."""

from typing import Unpack

from torch import Tensor, nn

from globalpool import kernels
from globalpool.errors import EvidenceError
from globalpool.evidence.choose import Classes, choose
from globalpool.evidence.modes import evaluating
from globalpool.evidence.record import TOLERANCES, Evidence
from globalpool.evidence.tails import affine_map
from globalpool.layout import LayoutArguments, product
from globalpool.pools import Pool


def account(pool: Pool, tail: nn.Module, x: Tensor, classes: Classes, **layout: Unpack[LayoutArguments]) -> Evidence:
    """Evidence of ``tail(pool(x))`` in eval mode; the arguments of ``PooledHead.evidence``.

    ``E[k, p] = sum over regions and channels of W[k, r, c] a[r, c, p] x[c, p]``; the offset is the tail's constant
    plus the tail of the pool's remainder, never a difference. The logits come from the modules themselves, so that
    the residual also tests what was read off them.
    """
    features, arranged = pool.arrange(x, **layout)
    with evaluating(pool, tail):
        parts = pool.parts(features, arranged)
        value = pool.value(features, arranged, parts).to(pool.value_dtype(x.dtype))
        line = affine_map(tail)
        check_width(pool, value.flatten(1).shape[1], line.weight.shape[1])
        all_logits: Tensor = tail(value.flatten(1).to(line.weight.dtype))
    ids, shared = choose(classes, all_logits)
    dtype = kernels.accumulation_dtype(line.weight.dtype)
    weight, constant = line.weight.to(dtype), line.bias.to(dtype)
    if not shared:
        rows, offset = weight[ids], constant[ids]
    elif isinstance(classes, int):
        rows, offset = weight[classes][None, None], constant[classes].reshape(1, 1)
    else:
        rows, offset = weight.unsqueeze(0), constant.unsqueeze(0)
    kept = product(arranged.kept_shape)
    with kernels.full_precision(x.device):
        shaped = rows.reshape(*rows.shape[:2], value.shape[1], value.shape[2], kept)
        maps = arranged.contract(features, parts.weights, shaped)
        if parts.remainder is not None:
            offset = offset + (rows * parts.remainder.flatten(1).to(dtype).unsqueeze(1)).sum(2)
    return Evidence(
        maps=maps,
        classes=ids,
        logits=all_logits.gather(1, ids),
        offset=offset.expand(ids.shape),
        layout=arranged,
        kind="linear" if pool.affine else "weighted",
        num_classes=line.weight.shape[0],
        tolerance=max(TOLERANCES[dtype] for dtype in (x.dtype, line.weight.dtype, all_logits.dtype)),
    )


def check_width(pool: Pool, got: int, expected: int) -> None:
    """Raise unless the pooled width fits the tail."""
    if got != expected:
        raise EvidenceError(
            pool.name,
            f"pooled vectors of width {expected}, the tail's input",
            f"{got} = regions ({pool.regions}) * channels * kept positions",
            "Build the head with in_features=pool.out_features(channels, kept); channels last needs channel_dim=-1.",
        )
