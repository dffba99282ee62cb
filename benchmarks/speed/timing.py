"""Interleaved timing: every contender once a round, on inputs that rotate past the cache, medians at the end."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Work = Callable[[int], object]
#: Inputs rotate until together they are so large (bytes): a shared cache of a server is smaller.
PAST_CACHE = 256 << 20
IN_A_ROW = 3


@dataclass(frozen=True)
class Workload:
    """``ours`` and ``peers`` do the same work on input number ``turn``; ``limit`` reads the same bytes once.

    ``bar``: the largest multiple of the limit that was asked for; ``faster``: how many times the named peer's speed.
    """

    name: str
    ours: Work
    peers: dict[str, Work]
    limit: Work
    inputs: int
    bar: float | None = None
    faster: dict[str, float] = field(default_factory=dict)


def copies(of: Callable[[int], Tensor]) -> list[Tensor]:
    """Inputs, made from seeds, until the cache cannot hold them."""
    first = of(0)
    count = max(2, min(64, -(-PAST_CACHE // (first.numel() * first.element_size()))))
    return [first, *(of(seed) for seed in range(1, count))]


def on(work: Any, inputs: Sequence[Any]) -> Work:
    """``work`` without gradients, on one input after the other."""

    @torch.no_grad()
    def run(turn: int) -> object:
        return work(inputs[turn % len(inputs)])

    return run


def reading(inputs: Sequence[Tensor]) -> Work:
    """One streaming read: the sum of all numbers, read as float32 words where torch sums halves slowly."""
    flat = [x.reshape(-1).view(torch.float32) for x in inputs]
    return lambda turn: flat[turn % len(flat)].sum()


def training(inputs: Sequence[Tensor]) -> Work:
    """One read and one write of as many bytes: what forward and backward of a pool cannot avoid."""
    flat = [x.reshape(-1).view(torch.float32) for x in inputs]
    return lambda turn: (flat[turn % len(flat)].sum(), torch.empty_like(flat[turn % len(flat)]).fill_(1.0))


def backward(pool: Callable[[Tensor], Tensor], inputs: Sequence[Tensor]) -> Work:
    """Forward and backward with respect to the features, the gradient of the result given."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    grads: dict[tuple[int, ...], Tensor] = {}

    def work(turn: int) -> object:
        x = leaves[turn % len(leaves)]
        y = pool(x)
        grad = grads.setdefault(tuple(y.shape), torch.ones_like(y))
        return torch.autograd.grad(y, x, grad)

    return work


def medians(work: dict[str, Work], rounds: int, budget: float) -> dict[str, float]:
    """Median seconds of each, all interleaved; fewer rounds where they would take longer than ``budget`` seconds.

    Each runs three times in a row, as in a loop over batches, and never on the input that the one before it has read.
    """
    start = time.perf_counter()
    for run in work.values():
        run(0)
        run(1)
    once = (time.perf_counter() - start) / 2
    rounds = max(2, min(rounds, int(budget / once / IN_A_ROW)))
    times: dict[str, list[float]] = {name: [] for name in work}
    names = list(work)
    for turn in range(rounds):
        for place in range(len(names)):  # another one begins each round
            name = names[(place + turn) % len(names)]
            for again in range(IN_A_ROW):
                start = time.perf_counter()
                work[name]((turn * len(names) + place) * IN_A_ROW + again)
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(own) for name, own in times.items()}


def row(workload: Workload, rounds: int, budget: float) -> dict[str, Any]:
    """One line of the table: milliseconds of the limit, ours and each peer."""
    work = {"limit": workload.limit, "globalpool": workload.ours, **workload.peers}
    found = medians(work, rounds, budget)
    limit, ours = found.pop("limit"), found.pop("globalpool")
    best = min(found, key=lambda name: found[name]) if found else None
    return {
        "workload": workload.name,
        "limit_ms": 1e3 * limit,
        "ours_ms": 1e3 * ours,
        "multiple": ours / limit,
        "bar": workload.bar,
        "peers_ms": {name: 1e3 * seconds for name, seconds in found.items()},
        "best_peer": best,
        "best_ratio": found[best] / ours if best else None,
        "faster": {name: {"ratio": found[name] / ours, "bar": bar} for name, bar in workload.faster.items()},
    }
