"""What the head costs, beside what flattening the same map into one fully connected layer would.

``K (C HW) + K`` parameters and ``K C HW`` multiply-adds for that layer; ``K F + K`` and ``K F`` for a linear tail over
``F`` pooled numbers. A pooled head is the fully connected one with its weights tied, so it is never the larger; a tail
of several layers may be.
"""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from globalpool.audits.audit import Audit
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.opened import Opened, opened
from globalpool.audits.samples import AuditData, Clock
from globalpool.classifier import PooledClassifier
from globalpool.evidence import affine_map, is_affine
from globalpool.surgery import Latency, cost

#: The head may cost this share of the fully connected one, in parameters.
SHARE = 1.0
#: A fully connected layer of more numbers is counted, not built.
BUILT = 100_000_000
RUNS = 30


class Head(nn.Module):
    """Pool and tail of one opened batch, called with its features."""

    def __init__(self, at: Opened) -> None:
        super().__init__()
        self.pool, self.tail, self._layout = at.pool, at.tail, at.layout

    def forward(self, features: Tensor) -> Tensor:
        vectors = self.pool(features, **self._layout)
        first = next(self.tail.parameters(), None)
        logits: Tensor = self.tail(vectors if first is None else vectors.to(first.dtype))
        return logits


@dataclass(frozen=True)
class HeadCost:
    """``multiply_adds`` of the tail for one sample; ``latency`` in seconds, None where nothing was built."""

    parameters: int
    multiply_adds: int
    latency: Latency | None


def own_cost(at: Opened, runs: int) -> HeadCost:
    """Pool and tail as they are, on one sample; the pool's sums are no multiply-adds, as in ``cost``."""
    head = Head(at)
    with torch.no_grad():
        vectors = at.vectors()
    counted = cost(at.tail, tuple(vectors.shape[1:]), dtype=vectors.dtype, runs=0).whole
    parameters = sum(one.numel() for one in dict.fromkeys(head.parameters()))
    return HeadCost(parameters, counted.multiply_adds, _timed(head, at.features, runs))


def fully_connected_cost(features: Tensor, classes: int, runs: int) -> HeadCost:
    """Flatten and one linear layer over features ``(1, C, *S)``."""
    width = math.prod(features.shape[1:])
    known = width * classes + classes, width * classes
    if not runs or known[0] > BUILT:
        return HeadCost(*known, None)
    layer = nn.utils.skip_init(nn.Linear, width, classes)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    full = nn.Sequential(nn.Flatten(), layer.to(features))
    return HeadCost(*known, _timed(full, features, runs))


def _timed(module: nn.Module, features: Tensor, runs: int) -> Latency | None:
    if not runs:
        return None
    seconds = []
    with torch.no_grad():
        for _ in range(runs + 1):
            start = time.perf_counter()
            module(features)
            if features.device.type != "cpu":
                torch.accelerator.synchronize(features.device)
            seconds.append(time.perf_counter() - start)
    return Latency.of(seconds[1:])


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """At the size of the first sample; counts are exact, times are the machine's."""
    clock = Clock(data.budget)
    with torch.no_grad():
        at = opened(classifier, data.inputs[0])
        logits, vectors = at.logits(), at.vectors()
    if at.features.ndim < 3:
        raise DoesNotApplyError("needs a feature map on a regular grid: rows of any number cannot be flattened")
    runs = RUNS if clock.left > 1 else 3
    own, full = own_cost(at, runs), fully_connected_cost(at.features, logits.shape[1], runs)
    width, classes = vectors.shape[1], logits.shape[1]
    linear = _is_one_layer(at.tail, width, classes)
    # A linear tail: one weight a class and pooled number, one bias a class. Of other tails theory has no number.
    biases = sum(one.numel() for one in at.tail.parameters() if one.ndim == 1)
    of_pool = sum(one.numel() for one in at.pool.parameters())
    predicted = (classes * width + biases + of_pool, classes * width) if linear else (None, None)
    ratio = own.parameters / full.parameters
    table = Table(("head", "parameters", "multiply-adds", "milliseconds", "spread"), (
        ("its own", own.parameters, own.multiply_adds, *_milliseconds(own.latency)),
        ("its own, predicted", *predicted, None, None),
        ("flatten and fully connected", full.parameters, full.multiply_adds, *_milliseconds(full.latency)),
    ), f"Heads over a map of {' x '.join(map(str, at.features.shape[1:]))}")  # fmt: skip
    timed = Table(table.columns, (table.rows[0], table.rows[2]))
    good = ratio <= SHARE
    notes = () if full.latency else ("the fully connected layer was counted and not built: too many numbers",)
    return HEAD_COST.finding(
        "pass" if good else "fail",
        f"Keep the pool: a fully connected head has {1 / ratio:,.0f} times the parameters and fits this size alone."
        if good
        else f"This head has {ratio:,.1f} times the parameters of a fully connected one: use one linear layer.",
        measured=ratio,
        predicted=None if predicted[0] is None else predicted[0] / full.parameters,
        unit="parameters of the head per parameter of a fully connected one",
        threshold=f"at most {SHARE:g}",
        tables=(table,),
        charts=(
            Chart(table, "head", ("parameters", "multiply-adds"), "bars", "Numbers of the head", "count"),
            Chart(timed, "head", ("milliseconds",), "bars", "One sample", "milliseconds"),
        ),
        notes=(*notes, *clock.notes),
    )


def _is_one_layer(tail: nn.Module, width: int, classes: int) -> bool:
    """Whether the tail is affine by one matrix, so that it multiplies once a class and pooled number."""
    matrices = [one for one in tail.parameters() if one.ndim > 1]
    if len(matrices) != 1 or matrices[0].numel() != width * classes:
        return False
    return is_affine(tail) and affine_map(tail).weight.shape == (classes, width)


def _milliseconds(latency: Latency | None) -> tuple[float | None, float | None]:
    return (None, None) if latency is None else (1e3 * latency.median, 1e3 * latency.spread)


HEAD_COST = Audit("head_cost", "What does the head cost beside a fully connected one?", measure, weight=0.2)
