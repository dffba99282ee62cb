"""1,000 random pools, layouts, masks and heads: the evidence adds up, in float32 and float64."""

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from globalpool import pools
from globalpool.head import PooledHead

POSITIVE = st.floats(0.05, 20)
PLAIN: tuple[Callable[[], pools.Pool], ...] = (
    pools.Mean,
    pools.Sum,
    pools.Max,
    pools.Statistics,
    pools.TopK,
    pools.LogMeanExp,
)


@st.composite
def pool_makers(draw: st.DrawFn, channels: int, axes: int) -> pools.Pool:
    """Pools with settings of their own drawn at random; those without an entry here as their examples make them."""
    dim = draw(st.one_of(st.none(), st.just((-1,)))) if axes > 1 else None
    left = axes if dim is None else 1
    kind = draw(st.sampled_from(pools.ALL))
    if kind in (pools.Mean, pools.Sum, pools.Max):
        return kind(dim=dim)
    if kind is pools.ScaledSum:
        return pools.ScaledSum(draw(st.floats(-0.5, 1.5)), dim=dim)
    if kind is pools.TopK:
        return pools.TopK(draw(st.integers(1, 12)), dim=dim)
    if kind is pools.GeM:
        return pools.GeM(draw(POSITIVE), draw(st.sampled_from([1e-6, 0.3])), dim=dim)
    if kind is pools.LogMeanExp:
        return pools.LogMeanExp(draw(POSITIVE) * draw(st.sampled_from([-1, 1, 1e-3])), dim=dim)
    if kind is pools.Grid:
        bins = draw(st.lists(st.integers(1, 4), min_size=left, max_size=left))
        return pools.Grid(*bins, partition=draw(st.sampled_from(["exact", "torch"])), dim=dim)
    if kind is pools.Attention:
        heads = draw(st.integers(1, 3))
        place = pools.PositionGrid(*(3,) * left, heads=heads) if draw(st.booleans()) else None
        pool = pools.Attention(channels, position=place, temperature=draw(POSITIVE), heads=heads, dim=dim)
        torch.nn.init.normal_(pool.content.weight)  # type: ignore[union-attr, arg-type]
        return pool
    if kind in (pools.Concat, pools.Clusters):
        a, b = (draw(st.sampled_from(PLAIN))() for _ in range(2))
        return pools.Concat(a, b) if kind is pools.Concat else pools.Clusters(a, b, weighting="mass")
    return draw(st.sampled_from(kind.examples(channels, axes)))


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.data())
def test_the_evidence_adds_up(data: st.DataObject) -> None:
    axes, channels = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    pool = data.draw(pool_makers(channels, axes))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64]))
    samples = data.draw(st.integers(1, 3))
    spatial = data.draw(st.lists(st.integers(1, 6), min_size=axes, max_size=axes))
    scale = data.draw(st.sampled_from([1e-3, 1.0, 30.0]))
    x = (torch.randn(samples, channels, *spatial, generator=generator, dtype=dtype) + 0.5) * scale
    arguments: dict[str, Any] = {}
    masking = data.draw(st.sampled_from(["full", "mask", "measure", "sizes"]))
    if masking == "sizes":
        arguments["sizes"] = torch.stack([torch.randint(0, s + 1, (samples,), generator=generator) for s in spatial], 1)
    elif masking != "full":
        mask = torch.rand(samples, *spatial, generator=generator)
        arguments["mask"] = mask > 0.4 if masking == "mask" else torch.where(mask > 0.3, mask, 0.0)
    if pool.needs_assignment:
        arguments["assignment"] = torch.randint(0, 3, (samples, *spatial), generator=generator)
    if data.draw(st.booleans()) and masking != "sizes":
        count = int(torch.tensor(spatial).prod())
        x = x.movedim(1, -1).reshape(-1, channels)
        arguments = {name: value.flatten() for name, value in arguments.items()}
        arguments |= {"ptr": torch.arange(samples + 1) * count, "shapes": torch.tensor([spatial] * samples)}
    width = pool(x, **arguments).shape[1]
    classes = data.draw(st.integers(1, 5))
    head = PooledHead(pool, width, classes, bias=data.draw(st.booleans())).to(dtype)
    chosen: Any = data.draw(st.sampled_from(["all", "top1", 0]))
    evidence = head.evidence(x, chosen, **arguments).check()
    assert evidence.maps.isfinite().all()
    given = evidence.layout.sum_samples(evidence.maps.detach().abs()).clamp(min=1)
    assert (evidence.residual() <= (1e-5 if dtype == torch.float32 else 1e-12) * given).all()
    if chosen == "all":
        evidence.centered().check()
        evidence.contrast(0, classes - 1).check()
