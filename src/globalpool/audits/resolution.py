"""Resolution: how logits, confidence and accuracy move with the size of the input, and what moves them.

A pool that counts positions grows with the map by a known factor, (N / N_trained)^(1 - gamma): 1 for Mean, the number
of positions for Sum. What is left is the trunk's: its activation statistics change with the apparent size of objects
(Touvron, Vedaldi, Douze, Jegou, Fixing the train-test resolution discrepancy, 2019).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from globalpool.audits.audit import Audit
from globalpool.audits.drift import Shares, projected, shares
from globalpool.audits.finding import Cell, Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.intervals import mean_interval
from globalpool.audits.opened import Opened, opened_dense
from globalpool.audits.remedies import confidence as _confidence
from globalpool.audits.remedies import nll, remedies
from globalpool.audits.samples import AuditData, Clock
from globalpool.audits.scaled import AtSize, at_factor, look, times
from globalpool.classifier import PooledClassifier
from globalpool.errors import AdoptionError

#: Sides over the side in training.
FACTORS = (0.5, 0.75, 0.875, 1.0, 1.25, 1.5, 2.0)
#: Change of the mean confidence, and share of the drift by the pool's count, that are too much.
CONFIDENCE, COUNT = 0.1, 0.05


@dataclass(eq=False)
class _Size:
    """What all samples gave at one factor; ``opened``: at the size in training, for predictions."""

    factor: float
    seen: list[AtSize] = field(default_factory=list)
    opened: list[Opened] = field(default_factory=list)

    def logits(self, name: str = "logits") -> Tensor:
        return torch.cat([getattr(one, name) for one in self.seen])

    def confidence(self) -> Tensor:
        return _confidence(self.logits())

    def stretch(self, base: "_Size") -> float:
        """Length of the pooled vectors over those at the size in training, the count undone."""
        here = [times(one.vectors, 1 / one.growth).double().square().sum() for one in self.seen]
        there = [one.vectors.double().square().sum() for one in base.seen]
        return float((torch.stack(here).sum() / torch.stack(there).sum()).sqrt())

    def told(self, base: "_Size", stretch: float = 1.0) -> Tensor:
        """Logits predicted of the vectors at the size in training: the count's growth, and one stretch for all."""
        with torch.no_grad():
            pairs = zip(base.seen, base.opened, self.seen, strict=True)
            return torch.cat([o.tell(stretch * times(b.vectors, s.growth)).double() for b, o, s in pairs])


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """All samples at all sizes, the drift from the size in training split, and the remedies tried."""
    clock = Clock(data.budget)
    sizes, skipped = _looked(classifier, data, clock)
    base = next(size for size in sizes if size.factor == 1)
    targets = data.targets[: len(base.seen)].cpu()
    side, word = _side(data.tensors()[0]), "px" if data.pictures else "positions a side"
    split = {size.factor: shares(base.logits(), size.logits(), size.logits("rescaled")) for size in sizes}
    moved = {size.factor: size.confidence() - base.confidence() for size in sizes}
    worst = max(sizes, key=lambda size: abs(float(moved[size.factor].mean())))
    measured, interval = mean_interval(moved[worst.factor])
    told = worst.told(base, worst.stretch(base))
    table = _table(sizes, base, targets, side, data.labelled)
    causes = _causes(sizes, base, split, side)
    ends = [size for size in sizes if size.factor in (0.5, 2.0)]
    tried = remedies(
        classifier, data, {round(side * size.factor): (size.factor, size.seen) for size in ends}, base.seen, clock
    )
    best = min(sizes, key=lambda size: float(nll(size.logits(), targets).mean()))
    fail = abs(measured) > CONFIDENCE or max(own.count for own in split.values()) > COUNT
    own_classes = () if data.labelled else ("targets are the classifier's own top classes at the size in training",)
    return RESOLUTION.finding(
        "fail" if fail else "pass",
        _advice(split[worst.factor], causes, worst, best, measured, side, word, data.labelled),
        measured=measured,
        interval=interval,
        predicted=float((_confidence(told) - base.confidence()).mean()),
        unit=f"of confidence at {round(side * worst.factor)} {word} over {side} (predicted: by count and length)",
        threshold=f"confidence moves by at most {CONFIDENCE}, and the pool's count makes at most {COUNT} of the drift",
        tables=(table, causes, *([tried] if tried.rows else [])),
        charts=(
            Chart(
                table, "side", ("confidence", "predicted", "by count alone", "accuracy"), title="by size", unit="share"
            ),
            Chart(causes, "side", ("count", "scale", "common shift", "own"), title="shares of the drift", unit="share"),
        ),
        notes=(*own_classes, *skipped, *clock.notes),
    )


@torch.no_grad()
def _looked(classifier: PooledClassifier, data: AuditData, clock: Clock) -> tuple[list[_Size], list[str]]:
    sizes = {factor: _Size(factor) for factor in FACTORS}
    skipped: list[str] = []
    data.tensors()
    for number in clock.within(range(len(data)), "samples", share=0.6):
        opened = opened_dense(classifier, at_factor(data, number, 1.0))
        before = tuple(opened.features.shape[2:])
        for factor in list(sizes):
            try:
                there = opened if factor == 1 else opened_dense(classifier, at_factor(data, number, factor))
            except (RuntimeError, AdoptionError) as error:
                # Strides that leave nothing of a small input, or a network traced at one size.
                del sizes[factor]
                skipped.append(f"not at {factor}x: {str(error).splitlines()[0]}")
                continue
            sizes[factor].seen.append(look(there, before))
        sizes[1.0].opened.append(opened)
    if len(sizes) < 2:
        raise DoesNotApplyError(f"the network takes one size only: {skipped[0] if skipped else ''}")
    return list(sizes.values()), skipped


def _table(sizes: list[_Size], base: _Size, targets: Tensor, side: int, labelled: bool) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for size in sizes:
        logits = size.logits()
        right = float((logits.argmax(1) == targets).double().mean())
        confidence = float(size.confidence().mean())
        predictions = [float(_confidence(size.told(base, stretch)).mean()) for stretch in (size.stretch(base), 1.0)]
        loss = float(nll(logits, targets).mean())
        rows.append((round(side * size.factor), confidence, *predictions, right, confidence - right, loss))
    what = "labels" if labelled else "own classes at the size in training"
    names = ("side", "confidence", "predicted", "by count alone", "accuracy", "confidence over accuracy", "NLL")
    return Table(names, tuple(rows), f"By size; accuracy and NLL (nats) against {what}")


def _causes(sizes: list[_Size], base: _Size, split: dict[float, Shares], side: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for size in sizes:
        own, before, after = split[size.factor], base.logits(), size.logits()
        masses = [(one.mass / first.mass).mean() for one, first in zip(size.seen, base.seen, strict=True)]
        stretch, counted = size.stretch(base), size.told(base)
        predictions = (
            projected(counted - before, before, after),
            projected(size.told(base, stretch) - counted, before, after),
        )
        growth = (float(size.seen[0].growth.mean()), float(torch.stack(masses).mean()))
        measured = (own.relative, own.count, predictions[0], own.scale, predictions[1], own.common, own.own)
        first = (round(side * size.factor), size.seen[0].positions, *growth, stretch, own.factor)
        rows.append((*first, *measured))
    sizes_of = ("side", "positions", "count factor, predicted", "count factor, measured", "vectors' length")
    shares_of = ("count", "count, predicted", "scale", "scale, predicted", "common shift", "own")
    names = (*sizes_of, "logits' scale", "drift", *shares_of)
    return Table(names, tuple(rows), "Drift of the centred logits from the size in training, and shares of its causes")


def _advice(
    own: Shares, causes: Table, worst: _Size, best: _Size, measured: float, side: int, word: str, labelled: bool
) -> str:
    pixels, recommended = round(side * worst.factor), round(side * best.factor)
    told = {name: causes.number(pixels, name) for name in ("count, predicted", "scale, predicted")}
    count = f"count {_percent(own.count)} (predicted {_percent(told['count, predicted'])})"
    scale = f"scale {_percent(own.scale)} (predicted {_percent(told['scale, predicted'])})"
    if own.count > COUNT:
        cure = "classifier.at_resolution undoes the count"
    elif own.scale > max(own.common, own.own):
        cure = "the trunk's features change their length: divide the logits by one number for each size"
    elif own.common > own.own:
        cure = "refit norms and head at the size of use"
    else:
        cure = "train at several sizes, or resize to the recommended one"
    basis = "" if labelled else ", by its own classes"
    rest = f"common shift {_percent(own.common)}, each sample's own {_percent(own.own)}"
    return (
        f"At {pixels} {word} confidence moves by {measured:+.2f}; causes of the logits' drift: the pool's {count}, "
        f"the trunk's {scale}, {rest}; lowest NLL at {recommended} {word}{basis}; {cure}."
    )


def _percent(share: float) -> str:
    return f"{100 * share + 0.0:.0f} %".replace("-0 %", "0 %")


def _side(x: Tensor) -> int:
    return round(float(torch.tensor(x.shape[2:], dtype=torch.float64).log().mean().exp()))


RESOLUTION = Audit("resolution", "What happens at other sizes, and is it the pool or the trunk?", measure, 3.0)
