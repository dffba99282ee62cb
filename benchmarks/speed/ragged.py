"""Ragged workloads: groups of rows pooled beside PyTorch Geometric and torch's own segment operations."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

import globalpool as gp
from speed.timing import Workload, backward, copies, on, reading, training

#: groups, rows, channels; uneven lengths everywhere, and one very uneven batch.
SIZES = {
    "32k groups, 574k x 64": (32_000, 574_000, 64),
    "256 groups, 256k x 256": (256, 256_000, 256),
    "64 groups, 50k x 128": (64, 50_000, 128),
    "4 groups, 200k x 64": (4, 200_000, 64),
    "20k groups, 100k x 8": (20_000, 100_000, 8),
    "4096 groups, 98k x 128": (4096, 98_000, 128),
    "skewed, 1024 groups, 256k x 64": (1024, 256_000, 64),
}
QUICK = ("32k groups, 574k x 64", "256 groups, 256k x 256", "4 groups, 200k x 64", "20k groups, 100k x 8")


class Given(nn.Module):
    """Scores that are there already, as a pool's content."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, x: Tensor) -> Tensor:
        return self.scores


def lengths(groups: int, rows: int, skewed: bool) -> Tensor:
    """Positive lengths that add up to ``rows``: uniform shares, or a few groups that hold most."""
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(groups, generator=generator, dtype=torch.float64)
    shares = shares**8 if skewed else shares + 0.2
    found = (shares / shares.sum() * (rows - groups)).floor().long() + 1
    found[0] += rows - found.sum()
    return found


def workloads(quick: bool) -> Iterator[Workload]:
    """All of them, a size after the other so that memory is given back in between."""
    for name, (groups, rows, channels) in SIZES.items():
        if not quick or name in QUICK:
            yield from _of_size(name, groups, rows, channels)


def _of_size(name: str, groups: int, rows: int, channels: int) -> Iterator[Workload]:
    from torch_geometric.nn import aggr
    from torch_geometric.nn.pool import global_add_pool, global_max_pool, global_mean_pool
    from torch_geometric.utils import softmax

    length = lengths(groups, rows, name.startswith("skewed"))
    ptr = torch.cat([length.new_zeros(1), length.cumsum(0)])
    batch = torch.repeat_interleave(torch.arange(groups), length)
    inputs = copies(lambda seed: torch.rand(rows, channels, generator=torch.Generator().manual_seed(seed)) + 0.1)
    scores = torch.randn(rows, 1, generator=torch.Generator().manual_seed(99))
    count = length.unsqueeze(1).float()

    def index_add(x: Tensor) -> Tensor:
        return x.new_zeros(groups, channels).index_add(0, batch, x) / count

    def attend(x: Tensor) -> Any:
        return global_add_pool(x * softmax(scores, batch, num_nodes=groups), batch, groups)

    def segment_attend(x: Tensor) -> Tensor:
        weights = softmax(scores, ptr=ptr)
        found: Tensor = torch.segment_reduce(x * weights, "sum", offsets=ptr, axis=0)
        return found

    attention = gp.Attention(channels, Given(scores)).eval()
    power, spread = aggr.PowerMeanAggregation(learn=False, p=3.0), aggr.MultiAggregation(["mean", "std"])
    soft = aggr.SoftmaxAggregation(t=1.0)
    rules: list[tuple[str, nn.Module, dict[str, Any], float | None, dict[str, float], dict[str, float]]] = [
        (
            "mean",
            gp.Mean(),
            {
                "PyG global_mean_pool": lambda x: global_mean_pool(x, batch, groups),
                "torch index_add": index_add,
                "torch segment_reduce": lambda x: torch.segment_reduce(x, "mean", offsets=ptr, axis=0),
            },
            1.4,
            {"PyG global_mean_pool": 3.0},
            {"PyG global_mean_pool": 3.0},
        ),
        (
            "attention",
            attention,
            {"PyG softmax, add": attend, "torch segment_reduce": segment_attend},
            1.8,
            {"PyG softmax, add": 10.0},
            {"PyG softmax, add": 6.0},
        ),
        ("max", gp.Max(), {"PyG global_max_pool": lambda x: global_max_pool(x, batch, groups)}, None, {}, {}),
        ("GeM(3)", gp.GeM(3.0), {"PyG PowerMean": lambda x: power(x, batch, dim_size=groups)}, 2.5, {}, {}),
        (
            "SoftmaxPool",
            gp.SoftmaxPool(),
            {"PyG SoftmaxAggregation": lambda x: soft(x, batch, dim_size=groups)},
            None,
            {},
            {},
        ),
        ("Statistics", gp.Statistics(), {"PyG mean, std": lambda x: spread(x, batch, dim_size=groups)}, 2.5, {}, {}),
        (
            "LogMeanExp",
            gp.LogMeanExp(2.0),
            {"torch scatter logsumexp": lambda x: _logsumexp(x, batch, groups, count)},
            2.5,
            {},
            {},
        ),
    ]
    big = name in ("32k groups, 574k x 64", "256 groups, 256k x 256")
    for rule, pool, peers, bar, faster, faster_training in rules:
        if not big and rule in ("GeM(3)", "SoftmaxPool", "Statistics", "LogMeanExp"):
            continue
        yield Workload(
            f"ragged {rule}, {name}",
            on(_of(pool, ptr), inputs),
            {peer: on(work, inputs) for peer, work in peers.items()},
            reading(inputs),
            len(inputs),
            bar if big else None,
            faster if groups >= 32_000 or rule == "attention" else {},
        )
        if rule in ("mean", "attention", "max"):
            yield Workload(
                f"ragged {rule}, {name}, forward and backward",
                backward(_of(pool, ptr), inputs),
                {peer: backward(work, inputs) for peer, work in peers.items()},
                training(inputs),
                len(inputs),
                None,
                faster_training if big else {},
            )


def _logsumexp(x: Tensor, batch: Tensor, groups: int, count: Tensor) -> Any:
    from torch_geometric.utils import scatter

    high = scatter(x, batch, 0, groups, "max")
    total = scatter((2.0 * (x - high[batch])).exp(), batch, 0, groups, "sum")
    return high + (total / count).log() / 2.0


def _of(pool: nn.Module, ptr: Tensor) -> Any:
    return lambda x: pool(x, ptr=ptr)
