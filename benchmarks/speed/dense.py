"""Dense workloads: maps and padded tokens beside torch, timm and einops; halves, squeeze-excite, nested tensors."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import globalpool as gp
from globalpool.blocks import SqueezeExcite
from speed.ragged import Given, lengths
from speed.timing import Workload, backward, copies, on, reading, training


def workloads(quick: bool) -> Iterator[Workload]:
    """All of them."""
    yield from _maps(quick)
    yield from _tokens(quick)
    yield from _halves(quick)
    yield from _excite()
    yield _nested()


def _normal(*shape: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return copies(lambda seed: torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype))


def _maps(quick: bool) -> Iterator[Workload]:
    from einops import reduce
    from timm.layers.adaptive_avgmax_pool import FastAdaptiveAvgPool, SelectAdaptivePool2d
    from timm.layers.other_pool import LsePlus2d

    inputs = _normal(32, 512, 28, 28)
    average, catavgmax = (
        SelectAdaptivePool2d(pool_type="avg", flatten=True),
        SelectAdaptivePool2d(pool_type="catavgmax", flatten=True),
    )
    fast, lse = FastAdaptiveAvgPool(flatten=True), LsePlus2d(r=2.0, r_learnable=False)

    def gem(x: Tensor) -> Tensor:
        return x.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)

    def statistics(x: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(x, (2, 3), correction=0)
        return torch.cat([mean, deviation], 1)

    rules: list[tuple[str, nn.Module, dict[str, Any], float | None]] = [
        (
            "mean",
            gp.Mean(),
            {
                "torch mean": lambda x: x.mean((2, 3)),
                "timm avg": average,
                "timm fastavg": fast,
                "einops": lambda x: reduce(x, "n c h w -> n c", "mean"),
            },
            None,
        ),
        (
            "max",
            gp.Max(),
            {
                "torch amax": lambda x: x.amax((2, 3)),
                "torch adaptive": lambda x: functional.adaptive_max_pool2d(x, 1).flatten(1),
            },
            None,
        ),
        ("GeM(3)", gp.GeM(3.0), {"torch": gem, "torch compiled": torch.compile(gem, dynamic=False)}, 2.5),
        (
            "LogMeanExp(2)",
            gp.LogMeanExp(2.0),
            {"timm LsePlus2d": lse, "torch logsumexp": lambda x: (2 * x).logsumexp((2, 3)) / 2},
            2.5,
        ),
        (
            "Statistics",
            gp.Statistics(),
            {"torch std_mean": statistics, "torch compiled": torch.compile(statistics, dynamic=False)},
            2.5,
        ),
        ("mean and max", gp.Concat(gp.Mean(), gp.Max()), {"timm catavgmax": catavgmax}, None),
    ]
    for rule, pool, peers, bar in rules:
        peers = {name: work for name, work in peers.items() if not (quick and "compiled" in name)}
        yield Workload(
            f"dense {rule}, 32 x 512 x 28 x 28",
            on(pool, inputs),
            {n: on(w, inputs) for n, w in peers.items()},
            reading(inputs),
            len(inputs),
            bar,
        )
        if rule in ("mean", "GeM(3)", "max") or not quick:
            yield Workload(
                f"dense {rule}, 32 x 512 x 28 x 28, forward and backward",
                backward(pool, inputs),
                {n: backward(w, inputs) for n, w in peers.items() if n != "timm LsePlus2d" or not quick},
                training(inputs),
                len(inputs),
            )


def _tokens(quick: bool) -> Iterator[Workload]:
    for samples, tokens, channels in ((32, 576, 768), (256, 49, 2048)):
        size = f"{samples} x {tokens} x {channels}"
        inputs = _normal(samples, tokens, channels)
        scores = torch.randn(samples, tokens, 1, generator=torch.Generator().manual_seed(9))
        attention = gp.Attention(channels, Given(scores)).eval()
        query = torch.randn(samples, 1, 1, channels) / channels

        def eager(x: Tensor, scores: Tensor = scores) -> Tensor:
            return (x * scores.softmax(1)).sum(1)

        def product(x: Tensor, scores: Tensor = scores) -> Tensor:
            return torch.bmm(scores.softmax(1).transpose(1, 2), x).squeeze(1)

        def scaled(x: Tensor, query: Tensor = query) -> Tensor:
            return functional.scaled_dot_product_attention(query, x.unsqueeze(1), x.unsqueeze(1)).flatten(1)

        peers: dict[str, Any] = {"torch eager": eager, "torch bmm": product, "torch SDPA": scaled}
        if not quick:
            peers["torch compiled"] = torch.compile(eager, dynamic=False)
        ours = lambda x, pool=attention: pool(x, channel_dim=-1)  # noqa: E731
        yield Workload(
            f"dense attention, tokens {size}",
            on(ours, inputs),
            {n: on(w, inputs) for n, w in peers.items()},
            reading(inputs),
            len(inputs),
            1.5,
            {"torch SDPA": 1.0},
        )
        yield Workload(
            f"dense attention, tokens {size}, forward and backward",
            backward(ours, inputs),
            {n: backward(w, inputs) for n, w in peers.items()},
            training(inputs),
            len(inputs),
        )
        if samples == 32:
            yield from _masked(size, inputs, quick)


def _masked(size: str, inputs: list[Tensor], quick: bool) -> Iterator[Workload]:
    from einops import reduce

    samples, tokens, _ = inputs[0].shape
    mask = torch.rand(samples, tokens, generator=torch.Generator().manual_seed(3)) < 0.7
    real = mask.unsqueeze(2).float()

    def eager(x: Tensor) -> Tensor:
        return (x * real).sum(1) / real.sum(1)

    def product(x: Tensor) -> Tensor:
        return torch.bmm(real.transpose(1, 2), x).squeeze(1) / real.sum(1)

    peers: dict[str, Any] = {
        "torch eager": eager,
        "torch bmm": product,
        "einops": lambda x: reduce(x * real, "n p c -> n c", "sum") / real.sum(1),
    }
    if not quick:
        peers["torch compiled"] = torch.compile(eager, dynamic=False)
    ours = lambda x: gp.Mean()(x, mask=mask, channel_dim=-1)  # noqa: E731
    yield Workload(
        f"masked mean, tokens {size}",
        on(ours, inputs),
        {n: on(w, inputs) for n, w in peers.items()},
        reading(inputs),
        len(inputs),
        1.5,
    )
    yield Workload(
        f"masked mean, tokens {size}, forward and backward",
        backward(ours, inputs),
        {n: backward(w, inputs) for n, w in peers.items()},
        training(inputs),
        len(inputs),
    )


def _halves(quick: bool) -> Iterator[Workload]:
    for dtype in (torch.bfloat16, torch.float16):
        inputs = _normal(64, 256, 56, 56, dtype=dtype)
        peers = {
            "torch mean": lambda x: x.mean((2, 3)),
            "torch adaptive": lambda x: functional.adaptive_avg_pool2d(x, 1),
        }
        yield Workload(
            f"{str(dtype)[6:]} mean, 64 x 256 x 56 x 56",
            on(gp.Mean(), inputs),
            {n: on(w, inputs) for n, w in peers.items()},
            reading(inputs),
            len(inputs),
            2.0,
        )


def _excite() -> Iterator[Workload]:
    from timm.layers.squeeze_excite import SEModule

    inputs = _normal(16, 256, 56, 56)
    ours, theirs = SqueezeExcite(256, inplace=True).eval(), SEModule(256, rd_ratio=1 / 16).eval()
    yield Workload(
        "squeeze-excite, inference, 16 x 256 x 56 x 56",
        on(ours, inputs),
        {"timm SEModule": on(theirs, inputs)},
        reading(inputs),
        len(inputs),
        None,
        {"timm SEModule": 5.0},
    )


def _nested() -> Workload:
    length = lengths(4096, 98_000, skewed=False)
    offsets = torch.cat([length.new_zeros(1), length.cumsum(0)])
    values = _normal(98_000, 128)
    inputs = [torch.nested.nested_tensor_from_jagged(x, offsets) for x in values]
    longest = int(length.max())
    known = [torch.nested.nested_tensor_from_jagged(x, offsets, max_seqlen=longest, min_seqlen=1) for x in values]
    peers = {"torch nested mean, longest length given": on(lambda x: x.mean(1), known)}
    return Workload(
        "nested tensor mean, 4096 groups, 98k x 128", on(gp.Mean(), inputs), peers, reading(values), len(values)
    )
