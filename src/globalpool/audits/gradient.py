"""How gradient reaches the positions of the map, and how much of it half precision loses on the way.

Where a pool's weights are its gradient, position ``p`` gets ``sum over r of a[r, c, p] dL/dy[r, c]``: with Mean over a
volume one part in D H W. That is no vanishing gradient (the trunk's parameters sum it up over as many positions), but
float16 has no number between 0 and 2^-24. Micikevicius et al., Mixed precision training (2018), scale the loss instead.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from globalpool.audits.audit import Audit
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.map_gradients import HalfGradient, half_gradient, map_gradient, ratio_interval, reached
from globalpool.audits.opened import opened
from globalpool.audits.samples import AuditData, Clock
from globalpool.classifier import PooledClassifier

#: Share of the gradient, by magnitude, that may be lost.
LOST = 0.01
SCALES = tuple(2.0**power for power in range(0, 25, 2))
#: Largest difference between the weights and the gradient, relative, for a pool that says they are the same.
AGREES = 1e-3
FACTS = ("largest number at a position", "norm over the map", "positions reached")


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Samples one by one; see the module."""
    # Torch loads what it needs at the first forward derivative: no sample's time.
    torch.func.jvp(torch.sin, (torch.ones(1),), (torch.ones(1),))
    clock, generator = Clock(data.budget), data.generator()
    halves: dict[float, list[HalfGradient]] = {scale: [] for scale in SCALES}
    expected: list[HalfGradient] = []
    facts: list[list[list[float]]] = []
    errors: list[tuple[float, float]] = []
    for x, target in clock.within(list(zip(data.inputs, data.targets, strict=True)), "samples"):
        with torch.no_grad():
            at = opened(classifier, x)
            logits = at.logits()
        if logits.shape[1] < 2:
            raise DoesNotApplyError("needs two classes or more, whose cross-entropy has a gradient")
        # A label that the classifier itself gave leaves hardly any gradient: its second choice stands for a miss.
        wanted = target.reshape(1) if data.labelled else logits.topk(2).indices[:, 1]
        found = map_gradient(at, wanted, generator)
        errors.append((found.error, found.error_along))
        facts.append([_facts(found.predicted), _facts(found.measured)])
        for scale in SCALES:
            own, predicted = half_gradient(at, wanted, found.measured, scale)
            halves[scale].append(own)
            if scale == 1 and predicted is not None:
                expected.append(predicted)
    lost, interval = ratio_interval([one.lost for one in halves[1]], [one.total for one in halves[1]])
    if math.isnan(lost):
        raise DoesNotApplyError("the loss has no gradient at the feature map of any sample")
    predicted_lost = _lost(expected) if expected else None
    enough = next((scale for scale in SCALES if _keeps(halves[scale])), None)
    told, seen = torch.tensor(facts, dtype=torch.float64).mean(0).tolist()
    from_weights, along = (max(error[row] for error in errors) for row in (0, 1))
    rows = [(name, says, is_) for name, says, is_ in zip(FACTS, told, seen, strict=True)]
    rows.append(("lost in float16, share of magnitude", predicted_lost, lost))
    rows.append(("lost in float16, share of numbers", _zeros(expected) if expected else None, _zeros(halves[1])))
    if expected:
        rows.append(("difference from the weights' prediction, relative", 0.0, from_weights))
    rows.append(("difference from the forward derivative, relative", 0.0, along))
    kept, honest = lost <= LOST and not any(one.overflow for one in halves[1]), not from_weights > AGREES
    own_table = Table(("of one sample's gradient", "predicted", "measured"), tuple(rows), "Gradient at the feature map")
    by_scale = Table(
        ("loss scale, power of 2", "lost", "below 2^-14", "overflow"),
        tuple((int(math.log2(s)), _lost(of), _faint(of), _overflow(of)) for s, of in halves.items()),
        "Share of the gradient's magnitude that float16 loses, and that loses digits",
    )
    chart = Chart(
        by_scale,
        by_scale.columns[0],
        by_scale.columns[1:3],
        title="What float16 loses",
        unit="share of the gradient",
        level=LOST,
    )
    notes = () if data.labelled else ("no labels: the loss is that of the second choice, as for a sample it misses",)
    return GRADIENT.finding(
        "pass" if honest and kept else "fail",
        _advice(kept, enough) if honest else "The pool says that its weights are its gradient, and they are not.",
        measured=lost,
        interval=interval,
        predicted=predicted_lost,
        unit="share of the gradient lost in float16",
        threshold=f"at most {LOST:g} of the gradient becomes 0 in float16 without loss scaling, nothing infinite",
        tables=(own_table, by_scale),
        charts=(chart,),
        notes=(*notes, *clock.notes),
    )


def _facts(gradient: Tensor | None) -> list[float]:
    if gradient is None:
        return [math.nan] * len(FACTS)
    return [float(gradient.abs().max()), float(gradient.double().norm()), reached(gradient)]


def _lost(of: Sequence[HalfGradient]) -> float:
    return ratio_interval([one.lost for one in of], [one.total for one in of])[0]


def _zeros(of: Sequence[HalfGradient]) -> float:
    return sum(one.zeros for one in of) / sum(one.count for one in of)


def _faint(of: Sequence[HalfGradient]) -> float:
    return ratio_interval([one.faint for one in of], [one.total for one in of])[0]


def _overflow(of: Sequence[HalfGradient]) -> str:
    return "yes" if any(one.overflow for one in of) else "no"


def _keeps(of: Sequence[HalfGradient]) -> bool:
    return _faint(of) <= LOST and not any(one.overflow for one in of)


def _advice(kept: bool, enough: float | None) -> str:
    if enough is None:
        return "No loss scale keeps this gradient in float16: train in bfloat16 or float32."
    if kept:
        return "float16 keeps the gradient as it is; a loss scale of the batch's size undoes the mean over a batch."
    times = "times the batch's size where the loss is its mean"
    return f"Train in bfloat16, or in float16 with a loss scale of {enough:,.0f} ({times}), which keeps its digits too."


GRADIENT = Audit("gradient", "How does gradient reach the positions, and does float16 keep it?", measure)
