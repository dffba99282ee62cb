"""Mixing: how far the logits of a mix are from the mix of the logits, place by place.

Zero at every share exactly where what follows is affine: at the feature map and the pooled vector of an affine head
(Zhang, Cisse, Dauphin, Lopez-Paz, mixup, 2018; Verma et al., Manifold Mixup, 2019). There cross-entropy along the mix
is convex and below its chord. CutMix on the map follows the evidence inside the box, not its area.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from globalpool.audits.audit import Audit
from globalpool.audits.cuts import Mixer, mixed_at, stages
from globalpool.audits.finding import Cell, Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.intervals import mean_interval
from globalpool.audits.opened import Opened, opened_dense
from globalpool.audits.samples import AuditData, Clock, middle
from globalpool.classifier import PooledClassifier
from globalpool.evidence import account
from globalpool.training.boxes import box_mask

SHARES = (0.2, 0.4, 0.6, 0.8)
#: Relative gap that rounding in float32 may leave where the rest is affine.
ROUNDING = 1e-5
MAP, VECTOR, INPUT = "feature map", "pooled vector", "input"
#: From a mixer to logits ``(1, K)``.
Place = Callable[[Mixer], Tensor]


@dataclass(eq=False)
class _Gaps:
    """Of one place, a number a pair: gap over the logits' distance, of Mixup and of CutMix; excess over the chord."""

    mixup: list[float] = field(default_factory=list)
    cutmix: list[float] = field(default_factory=list)
    excess: list[float] = field(default_factory=list)
    convex: list[bool] = field(default_factory=list)


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Pairs of samples of one size and different classes, mixed at the input, at each stage, at map and vector."""
    clock = Clock(data.budget)
    gaps: dict[str, _Gaps] = {}
    by_evidence: list[float] = []
    pairs = _pairs(data)
    with torch.no_grad():
        inner = stages(classifier, torch.cat([pairs[0][0], pairs[0][1]]))
        for first, second, target in clock.within(pairs, "pairs"):
            here, there = (opened_dense(classifier, x) for x in (first, second))
            ends = here.logits().double(), there.logits().double()
            places: dict[str, Place] = {INPUT: lambda mix, a=first, b=second: classifier(mix(a, b))}  # type: ignore[misc]
            for name, module in inner.items():
                places[name] = lambda mix, m=module, a=first, b=second: mixed_at(classifier, m, a, b, mix)  # type: ignore[misc]
            places[MAP] = lambda mix, a=here, b=there: a.logits(mix(a.features, b.features))  # type: ignore[misc]
            places[VECTOR] = lambda mix, a=here, b=there: a.tell(mix(a.vectors(), b.vectors()))  # type: ignore[misc]
            for name, place in places.items():
                _look(gaps.setdefault(name, _Gaps()), place, ends, int(target), boxes=name != VECTOR)
            by_evidence.append(_cutmix_by_evidence(here, there, ends))
    return _finding(classifier, gaps, by_evidence, clock)


def _pairs(data: AuditData) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Each sample with the next of its shape and another class, where there is one; cropped alike where none has."""
    inputs = data.tensors()
    found = _partners(inputs, data.targets)
    if not found:
        lengths = [min(x.shape[axis] for x in inputs) for axis in range(2, inputs[0].ndim)]
        found = _partners([middle(x, lengths) for x in inputs], data.targets)
    if not found:
        raise DoesNotApplyError("needs two samples of different classes")
    return found


def _partners(inputs: Sequence[Tensor], targets: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    found = []
    for number, x in enumerate(inputs):
        for step in range(1, len(inputs)):
            other = (number + step) % len(inputs)
            if inputs[other].shape == x.shape and targets[other] != targets[number]:
                found.append((x, inputs[other], targets[number]))
                break
    return found


def _look(gaps: _Gaps, place: Place, ends: tuple[Tensor, Tensor], target: int, boxes: bool) -> None:
    apart = float((ends[0] - ends[1]).abs().max())
    residuals, losses = [], [_loss(ends[1], target)]
    for share in SHARES:
        logits = place(lambda a, b, s=share: s * a + (1 - s) * b).double()  # type: ignore[misc]
        residuals.append(float((logits - share * ends[0] - (1 - share) * ends[1]).abs().max()))
        losses.append(_loss(logits, target))
    losses.append(_loss(ends[0], target))
    gaps.mixup.append(sum(residuals) / len(residuals) / apart)
    along = torch.tensor(losses, dtype=torch.float64)
    chord = along[0] + torch.linspace(0, 1, len(along), dtype=torch.float64) * (along[-1] - along[0])
    gaps.excess.append(float((along - chord)[1:-1].max()))
    gaps.convex.append(bool((along[2:] - 2 * along[1:-1] + along[:-2] >= -1e-5 * (1 + along.max())).all()))
    if boxes:
        kept: list[float] = []

        def paste(a: Tensor, b: Tensor) -> Tensor:
            mask = _box(tuple(a.shape[2:]))
            kept.append(float(mask.logical_not().double().mean()))
            return torch.where(mask.to(a.device), b, a)

        logits = place(paste).double()
        residual = logits - kept[0] * ends[0] - (1 - kept[0]) * ends[1]
        gaps.cutmix.append(float(residual.abs().max()) / apart)


def _box(size: tuple[int, ...]) -> Tensor:
    """The middle half of every axis."""
    return box_mask(size, [side // 2 for side in size], [max(1, side // 2) for side in size], "clip")


def _cutmix_by_evidence(here: Opened, there: Opened, ends: tuple[Tensor, Tensor]) -> float:
    """The gap of CutMix on the map where each side counts by its evidence inside and outside the box."""
    mask = _box(tuple(here.features.shape[2:])).to(here.features.device)
    told = torch.zeros_like(ends[0])
    for opened, inside in ((here, ~mask), (there, mask)):
        ids = torch.arange(ends[0].shape[1], device=told.device)[None]
        evidence = account(opened.pool, opened.tail, opened.features, ids, **opened.layout)
        told += (evidence.maps.double() * inside).flatten(2).sum(2)
        offset = evidence.offset.double()
    logits = here.logits(torch.where(mask, there.features, here.features)).double()
    return float((logits - told - offset).abs().max() / (ends[0] - ends[1]).abs().max())


def _loss(logits: Tensor, target: int) -> float:
    return float(cross_entropy(logits, torch.tensor([target], device=logits.device)))


def _finding(classifier: PooledClassifier, gaps: dict[str, _Gaps], by_evidence: list[float], clock: Clock) -> Finding:
    rows: list[tuple[Cell, ...]] = []
    for name, own in gaps.items():
        predicted = 0.0 if name in (MAP, VECTOR) and classifier.affine else None
        cutmix = sum(own.cutmix) / len(own.cutmix) if own.cutmix else None
        convex = sum(own.convex) / len(own.convex)
        rows.append((name, predicted, sum(own.mixup) / len(own.mixup), cutmix, max(own.excess), convex))
    columns = ("mixed at", "Mixup gap, predicted", "Mixup gap", "CutMix gap by area", "most above the chord", "convex")
    table = Table(columns, tuple(rows), "Gaps over the distance of the logits; cross-entropy along the mix, in nats")
    measured, interval = mean_interval(gaps[MAP].mixup)
    exact = sum(by_evidence) / len(by_evidence)
    evidence = Table(
        ("CutMix on the feature map", "predicted", "gap"),
        (("labels by area", None, sum(gaps[MAP].cutmix) / len(by_evidence)), ("by evidence", 0.0, exact)),
    )
    largest = max(measured, max(gaps[VECTOR].mixup), exact)
    fail = classifier.affine and largest > ROUNDING
    if not classifier.affine:
        advice = (
            f"The head is not affine: mixed features leave {100 * measured:.1f} % of the logits' distance unexplained."
        )
    elif fail:
        advice = (
            f"The head says it is affine and is not: the logits of mixed features are off by {100 * largest:.1f} %."
        )
    else:
        advice = "Features mix exactly: labels mixed by their shares are right at the feature map"
        advice += f"; at the input the logits are off by {100 * rows[0][2]:.0f} % of their distance."  # type: ignore[operator]
    verdict = "fail" if fail else "pass" if classifier.affine else "info"
    return MIXING.finding(
        verdict,
        advice,
        measured=measured,
        interval=interval,
        predicted=0.0 if classifier.affine else None,
        unit="gap of Mixup at the feature map, of the logits' distance",
        threshold=f"an affine head leaves at most {ROUNDING} at map and vector, for Mixup and for CutMix by evidence",
        tables=(table, evidence),
        charts=(
            Chart(
                table, "mixed at", ("Mixup gap", "CutMix gap by area"), "bars", "gap to the mixed logits", "relative"
            ),
            Chart(table, "mixed at", ("most above the chord",), "bars", "cross-entropy above its chord", "nats", 0.0),
        ),
        notes=tuple(clock.notes),
    )


MIXING = Audit("mixing", "Where do mixed samples give mixed logits?", measure, 1.5)
