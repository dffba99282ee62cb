"""What padding does to a sample: the dilution that a careless batch causes, and its cure.

Zeros around a map count as positions unless the pool is told where the sample ends. What they cost follows from counts:
a mean over twice the positions is half the mean, and the logits what the tail makes of that. With a mask, and in the
batches that the classifier is given, a sample's logits have to be those of the sample alone.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from globalpool.audits.audit import Audit
from globalpool.audits.dilution import diluted
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.grids import as_tensor
from globalpool.audits.intervals import mean_interval
from globalpool.audits.opened import Opened, opened
from globalpool.audits.samples import AuditData, Clock
from globalpool.audits.together import together
from globalpool.classifier import PooledClassifier
from globalpool.errors import GlobalPoolError
from globalpool.layout import inside

#: Positions of the canvas per position of the sample, and the one that stands for all.
CANVASES, SHOWN = (1.25, 1.5, 2.0, 4.0), 2.0
#: Samples in one batch.
BATCHES = (2, 4, 8)
#: How far logits may move, relative to the largest of the sample or to 1.
EXACT = 1e-4


def grown(own: Sequence[int], factor: float) -> tuple[int, ...]:
    """Lengths of a canvas with at least ``factor`` times the positions, every axis in proportion."""
    return tuple(ceil(side * factor ** (1 / len(own)) - 1e-9) for side in own)


def enlarged(values: Tensor, canvas: Sequence[int]) -> Tensor:
    """``(N, C, *S)`` in the corner where indices begin, zeros beyond."""
    widths = [width for side, own in zip(canvas[::-1], values.shape[:1:-1], strict=True) for width in (0, side - own)]
    return pad(values, widths)


def moved(own: Tensor, other: Tensor) -> float:
    """The largest change of a logit of one sample ``(1, K)``, in logits."""
    return float((other.double() - own.double()).abs().max())


def at_map(at: Opened, factor: float) -> tuple[float, float | None, float]:
    """How far logits move on a canvas without a mask, by counts without a mask, and with a mask."""
    size = tuple(at.features.shape[2:])
    canvas, own = grown(size, factor), at.logits()
    wide = enlarged(at.features, canvas)
    mask = inside(torch.tensor([size], device=wide.device), canvas)
    expected = diluted(at.pool, at.vectors(), size, canvas)
    predicted = None if expected is None else moved(own, at.tell(expected))
    masked = moved(own, at.tell(at.pool(wide, mask=mask)))
    return moved(own, at.tell(at.pool(wide))), predicted, masked


def at_input(classifier: PooledClassifier, x: Tensor, size: tuple[int, ...], factor: float) -> tuple[float, float]:
    """How far logits move when ``x`` is padded before the trunk: without, and with a mask at the map of ``size``."""
    own = classifier(x)
    at = opened(classifier, enlarged(x, grown(tuple(x.shape[2:]), factor)))
    mask = inside(torch.tensor([size], device=x.device), tuple(at.features.shape[2:]))
    return moved(own, at.logits()), moved(own, at.tell(at.pool(at.features, mask=mask)))


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Sample by sample on growing canvases, then in batches as the classifier takes them."""
    clock = Clock(data.budget)
    maps: dict[float, list[tuple[float, float | None, float]]] = {factor: [] for factor in CANVASES}
    inputs: dict[float, list[tuple[float, float]]] = {factor: [] for factor in (1.5, SHOWN)}
    alone: list[Tensor] = []
    reason = ""
    with torch.no_grad():
        for x in clock.within(data.inputs, "samples", share=0.8):
            at = opened(classifier, x)
            alone.append(classifier(x))
            plain = at.layout.get("mask") is None or bool((at.layout["mask"] == 1).all())  # type: ignore[union-attr]
            if at.features.ndim < 3 or not plain:
                continue
            bare, grid = Opened(at.features, {}, at.pool, at.tail), as_tensor(x)
            try:
                for factor in CANVASES:
                    maps[factor].append(at_map(bare, factor))
                if grid is not None:
                    for factor in inputs:
                        inputs[factor].append(at_input(classifier, grid, tuple(at.features.shape[2:]), factor))
            except (RuntimeError, GlobalPoolError) as error:
                reason = f"not padded: {str(error).strip().splitlines()[0]}"
        batches = _batches(classifier, data.inputs[: len(alone)], alone, clock)
    sizes = [max(1.0, float(logits.abs().max())) for logits in alone]
    if not maps[SHOWN] and not batches:
        raise DoesNotApplyError(reason or "a single sample that cannot be padded")
    masked = max((row[2] / size for of in maps.values() for row, size in zip(of, sizes, strict=False)), default=0.0)
    batched = max(
        (move / size for moves in batches.values() for move, size in zip(moves, sizes, strict=False)), default=0.0
    )
    good = max(masked, batched) <= EXACT
    careless = (
        [row[0] for row in maps[SHOWN]] if maps[SHOWN] else [move for moves in batches.values() for move in moves]
    )
    mean, interval = mean_interval(careless)
    predicted = _mean([row[1] for row in maps[SHOWN]]) if maps[SHOWN] else 0.0
    table = Table(
        ("canvas", "careless", "careless, predicted", "with a mask", "input, careless", "input, masked at the map"),
        tuple(_row(factor, maps[factor], inputs.get(factor, [])) for factor in CANVASES),
        "How far the largest logit moves, by positions of the canvas per position of the sample",
    )
    in_batch = Table(
        ("samples in the batch", "largest move"),
        tuple((count, max(moves)) for count, moves in batches.items()),
        "Alone against a batch as the classifier takes it",
    )
    chart = Chart(table, "canvas", table.columns[1:4], title="Zeros around the map", unit="logits")
    what = "zeros double its map and no mask says so" if maps[SHOWN] else "other samples share its batch"
    return PADDING.finding(
        "pass" if good else "fail",
        _advice(masked, batched, bool(maps[SHOWN]), mean),
        measured=mean,
        interval=interval,
        predicted=predicted,
        unit=f"logits that a sample's logits move by when {what}",
        threshold=f"with a mask, and in the batches it is given, at most {EXACT:g} of the logits: "
        f"{masked:.1g} and {batched:.1g}",
        tables=(table, in_batch) if maps[SHOWN] else (in_batch,),
        charts=(chart,) if maps[SHOWN] else (),
        notes=(*([reason] if reason else []), *clock.notes),
    )


def _batches(
    classifier: PooledClassifier, inputs: Sequence[Any], alone: Sequence[Tensor], clock: Clock
) -> dict[int, list[float]]:
    """How far each sample's logits move in a batch of so many of them; empty where they make no batch."""
    found: dict[int, list[float]] = {}
    counts = sorted({min(count, len(inputs)) for count in BATCHES} - {0, 1})
    for count in clock.within(counts, "batches", least=1):
        batch = together(inputs[:count])
        if batch is not None:
            logits = classifier(batch)
            found[count] = [moved(own, logits[row : row + 1]) for row, own in enumerate(alone[:count])]
    return found


def _row(
    factor: float, maps: Sequence[tuple[float, float | None, float]], inputs: Sequence[tuple[float, float]]
) -> tuple[float, float | None, float | None, float | None, float | None, float | None]:
    first, second, third = (_mean([row[column] for row in maps]) for column in range(3))
    before, after = (_mean([row[column] for row in inputs]) for column in range(2))
    return factor, first, second, third, before, after


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if known and len(known) == len(numbers) else None


def _advice(masked: float, batched: float, on_map: bool, mean: float) -> str:
    if masked > EXACT:
        return "The pool does not heed its mask: a padded sample's logits hang on the canvas. Use a pool that does."
    if batched > EXACT:
        return (
            "A sample's logits hang on its batch: have the trunk take Padded samples, or give each size its own batch."
        )
    if not on_map:
        return "A sample's logits do not hang on the batch it is in."
    return (
        f"Give padded maps a mask (mask= or sizes=): without one, twice the canvas moves a logit by {mean:.2g}. "
        "Pad maps rather than inputs, whose borders the trunk sees."
    )


PADDING = Audit("padding", "What does a padded batch do to a sample?", measure)
