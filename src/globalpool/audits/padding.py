"""What padding does to a sample: the dilution that a careless batch causes, and its cure.

Zeros around a map count as positions unless the pool is told where the sample ends. What they cost follows from counts:
a mean over twice the positions is half the mean, and the logits what the tail makes of that. With a mask, and in the
batches that the classifier is given, a sample's logits have to be those of the sample alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from globalpool.audits.audit import Audit
from globalpool.audits.canvases import AtInput, AtMap, at_input, at_map, moved
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.grids import as_tensor, whole
from globalpool.audits.intervals import mean_interval
from globalpool.audits.opened import opened
from globalpool.audits.samples import AuditData, Clock
from globalpool.audits.together import together
from globalpool.classifier import PooledClassifier
from globalpool.errors import GlobalPoolError

#: Positions of the canvas per position of the sample, those tried at the input too, and the one that stands for all.
CANVASES, AT_INPUT, SHOWN = (1.25, 1.5, 2.0, 4.0), (1.5, 2.0), 2.0
#: Samples in one batch.
BATCHES = (2, 4, 8)
#: How far logits may move, relative to the largest of the sample or to 1.
EXACT = 1e-4
MAP_COLUMNS = ("careless", "careless, predicted", "with a mask")
INPUT_COLUMNS = ("input, careless", "input, masked at the map", "input, as padded samples")


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Sample by sample on growing canvases, then in batches as the classifier takes them."""
    clock = Clock(data.budget)
    maps: dict[float, list[AtMap]] = {factor: [] for factor in CANVASES}
    inputs: dict[float, list[AtInput]] = {factor: [] for factor in CANVASES}
    alone: list[Tensor] = []
    faults = {"mask": 0.0, "batch": 0.0}
    reason = ""
    with torch.no_grad():
        for x in clock.within(data.inputs, "samples", share=0.8):
            at, own = opened(classifier, x), classifier(x)
            alone.append(own)
            size = max(1.0, float(own.abs().max()))
            if not whole(at):
                continue
            try:
                found = [at_map(at, factor) for factor in CANVASES]
                for factor, one in zip(CANVASES, found, strict=True):
                    maps[factor].append(one)
                faults["mask"] = max(faults["mask"], *(one.masked / size for one in found))
                for factor in AT_INPUT if as_tensor(x) is not None else ():
                    wide = at_input(classifier, x, tuple(at.features.shape[2:]), factor)
                    inputs[factor].append(wide)
                    faults["batch"] = max(faults["batch"], (wide.told or 0.0) / size)
            except (RuntimeError, GlobalPoolError) as error:
                reason = f"not padded: {str(error).strip().splitlines()[0]}"
        batches = _batches(classifier, data.inputs[: len(alone)], alone, clock)
    for moves in batches.values():
        relative = [move / max(1.0, float(own.abs().max())) for move, own in zip(moves, alone, strict=False)]
        faults["batch"] = max(faults["batch"], *relative)
    careless = [one.careless for one in maps[SHOWN]] or [move for moves in batches.values() for move in moves]
    if not careless:
        raise DoesNotApplyError(reason or "these samples can neither be padded nor make a batch")
    return _finding(clock, maps, inputs, batches, careless, faults, reason)


def _batches(
    classifier: PooledClassifier, inputs: Sequence[Any], alone: Sequence[Tensor], clock: Clock
) -> dict[int, list[float]]:
    """How far each sample's logits move in a batch of so many of them; empty where they make no batch."""
    found: dict[int, list[float]] = {}
    counts = sorted({min(count, len(inputs)) for count in BATCHES} - {0, 1})
    for count in clock.within(counts, "batches", least=1):
        batch = together(inputs[:count])
        if batch is None:
            continue
        try:
            logits = classifier(batch)
        except TypeError:  # a trunk of tensors alone has samples of one size together or none
            continue
        found[count] = [moved(own, logits[row : row + 1]) for row, own in enumerate(alone[:count])]
    return found


def _finding(
    clock: Clock,
    maps: dict[float, list[AtMap]],
    inputs: dict[float, list[AtInput]],
    batches: dict[int, list[float]],
    careless: list[float],
    faults: dict[str, float],
    reason: str,
) -> Finding:
    on_map = bool(maps[SHOWN])
    mean, interval = mean_interval(careless)
    in_batch = Table(
        ("samples in the batch", "largest move of a logit"),
        tuple((count, max(moves)) for count, moves in batches.items()),
        "Alone against a batch as the classifier takes it",
    )
    on_canvas = Table(
        ("canvas", *MAP_COLUMNS, *INPUT_COLUMNS),
        tuple((factor, *_of_map(maps[factor]), *_of_input(inputs[factor])) for factor in CANVASES if maps[factor]),
        "How far a sample's logits move, by positions of the canvas per position of the sample",
    )
    chart = Chart(on_canvas, "canvas", MAP_COLUMNS, title="Zeros around the map", unit="logits")
    what = "zeros double its map and no mask says so" if on_map else "other samples share its batch"
    return PADDING.finding(
        "fail" if max(faults.values()) > EXACT else "pass",
        _advice(faults, on_map, mean),
        measured=mean,
        interval=interval,
        predicted=_mean([one.predicted for one in maps[SHOWN]]) if on_map else 0.0,
        unit=f"logits by which a sample's logits move when {what}",
        threshold=f"at most {EXACT:g} of the logits with a mask ({faults['mask']:.1g}) and in a batch as it is taken "
        f"({faults['batch']:.1g})",
        tables=(on_canvas, in_batch) if on_map else (in_batch,),
        charts=(chart,) if on_map else (),
        notes=(*([reason] if reason else []), *clock.notes),
    )


def _of_map(found: Sequence[AtMap]) -> list[float | None]:
    masked = _mean([one.masked for one in found])
    return [_mean([one.careless for one in found]), _mean([one.predicted for one in found]), masked]


def _of_input(found: Sequence[AtInput]) -> list[float | None]:
    told = _mean([one.told for one in found])
    return [_mean([one.careless for one in found]), _mean([one.masked for one in found]), told]


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if known and len(known) == len(numbers) else None


def _advice(faults: dict[str, float], on_map: bool, mean: float) -> str:
    if faults["mask"] > EXACT:
        return "The pool does not heed its mask: a padded sample's logits hang on the canvas. Use a pool that does."
    if faults["batch"] > EXACT:
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
