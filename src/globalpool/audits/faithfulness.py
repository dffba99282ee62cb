"""Whether the evidence says what the classifier goes by.

At the map "linear" evidence predicts every deletion exactly. At the input nothing is promised: there the order by
evidence has to beat a random order, sample by sample. Evidence of twins with a scrambled tail or trunk has to be
another one (Adebayo et al., Sanity checks for saliency maps, 2018): what does not change explains the picture alone.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from globalpool.audits.audit import Audit
from globalpool.audits.deciding import deciding, values
from globalpool.audits.deletion import ORDERS, STEPS, Curves, at_input, at_map, orders
from globalpool.audits.finding import Chart, Finding, Table
from globalpool.audits.grids import as_tensor
from globalpool.audits.intervals import Interval, mean_interval
from globalpool.audits.opened import opened
from globalpool.audits.ranks import rank_correlation
from globalpool.audits.samples import AuditData, Clock
from globalpool.audits.scrambled import scrambled
from globalpool.classifier import PooledClassifier
from globalpool.evidence import Evidence

#: Largest difference of a predicted curve, relative to what was added up.
EXACT = 1e-4
#: Rank correlation with the evidence of a scrambled twin.
ALIKE = 0.5
#: Twins of each part, each for its share of the samples: a single one may resemble by chance.
TWINS = 4
#: Share of the time for the map and the input; the rest is for the twins.
CURVES_SHARE = 0.75


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Sample by sample, then the twins."""
    clock, generator = Clock(data.budget), data.generator()
    maps: list[Curves] = []
    inputs: list[Curves] = []
    errors: list[float] = []
    found: list[tuple[Any, Evidence, Tensor]] = []
    for x in clock.within(data.inputs, "samples", share=CURVES_SHARE):
        with torch.no_grad():
            evidence, at = deciding(classifier, x), opened(classifier, x)
            own = values(evidence)
            by = orders(own, generator)
            found.append((x, evidence, own))
            curves = at_map(at, evidence, own, by)
            maps.append(curves)
            assert curves.predicted is not None, "evidence predicts a curve at the map"
            size = max(1.0, float(evidence.size().max()))
            errors.append(float((curves.predicted - curves.measured).abs().max()) / size)
            if as_tensor(x) is not None and evidence.maps.ndim > 2:
                inputs.append(at_input(classifier, x, evidence, by))
    parts = {"tail": classifier.tail, "trunk": classifier.trunk}
    twins = {name: _alike(classifier, part, found, generator, clock) for name, part in parts.items()}
    linear = all(evidence.kind == "linear" for _, evidence, _ in found)
    place, judged = ("input", inputs) if inputs else ("map", maps)
    ahead, interval = _ahead(judged)
    tables = (_areas(maps, inputs, errors, linear), _twin_table(twins), *_curve_tables(maps, inputs))
    wrong = _wrong(linear, max(errors), ahead, interval, place, twins)
    notes = ["the map alone: these inputs have no pixels to remove"] if not inputs else []
    return FAITHFULNESS.finding(
        "fail" if wrong else "pass",
        wrong or "Trust the evidence as an order of places; the numbers are exact at the map and a hint at the input.",
        measured=ahead,
        interval=interval,
        predicted=None if inputs or not linear else _predicted_ahead(maps),
        unit=f"logits by which deletion at the {place} hurts more by evidence than at random, mean over the curve",
        threshold=f"above 0 with its interval; linear evidence exact to {EXACT:g}; twins alike by less than {ALIKE:g}",
        tables=tables,
        charts=tuple(
            Chart(table, "share gone", ORDERS, title=table.title, unit="difference of the first two logits")
            for table in tables[2:]
        ),
        notes=(*notes, *clock.notes),
    )


def _ahead(curves: Sequence[Curves]) -> tuple[float, Interval | None]:
    areas = torch.stack([one.areas() for one in curves])
    return mean_interval(areas[:, 1] - areas[:, 0])


def _predicted_ahead(curves: Sequence[Curves]) -> float:
    return _ahead([Curves(one.predicted, None) for one in curves if one.predicted is not None])[0]


def _alike(
    classifier: PooledClassifier,
    part: nn.Module,
    found: Sequence[tuple[Any, Evidence, Tensor]],
    generator: torch.Generator,
    clock: Clock,
) -> float:
    """Mean rank correlation with the evidence of scrambled twins for the same two classes; NaN where there is none."""
    correlations = []
    groups = [found[number::TWINS] for number in range(min(TWINS, len(found)))]
    for group in clock.within(groups, "scrambled twins", least=1, share=0.5):
        twin = scrambled(classifier, part, generator)
        if twin is None:
            return math.nan
        for x, evidence, own in group:
            pair = None
            if evidence.against is not None:
                pair = torch.stack([evidence.classes[:, 0], evidence.against], 1)
            correlations.append(rank_correlation(own, values(deciding(twin, x, pair))))
    return sum(correlations) / len(correlations)


def _wrong(
    linear: bool, error: float, ahead: float, interval: Interval | None, place: str, twins: dict[str, float]
) -> str:
    """The advice for what fails first; empty where nothing does."""
    if linear and error > EXACT:
        return "The evidence is called linear and does not predict what a deletion at the map does: do not use it."
    if (ahead if interval is None else interval[0]) <= 0:
        return f"Deletion by evidence at the {place} hurts no more than at random: do not read places off it."
    for part, alike in twins.items():
        if alike >= ALIKE:
            return f"The evidence hardly changes when the {part} is scrambled: it shows the input, not the classifier."
    return ""


def _areas(maps: Sequence[Curves], inputs: Sequence[Curves], errors: Sequence[float], linear: bool) -> Table:
    rows: list[tuple[str, float, float, float, float, float | None]] = []
    for place, curves in (("map", maps), ("input", inputs)):
        if curves:
            down, chance, up = torch.stack([one.areas() for one in curves]).mean(0).tolist()
            error = max(errors) if place == "map" and linear else None
            rows.append((place, down, chance, up, up, error))
    columns = ("removed at", "deletion", "random order", "reversed order", "insertion", "error of the prediction")
    return Table(columns, tuple(rows), "Mean over the curve, difference of the first two logits")


def _twin_table(twins: dict[str, float]) -> Table:
    return Table(("scrambled", "rank correlation"), tuple(twins.items()), "Evidence of twins that forgot")


def _curve_tables(maps: Sequence[Curves], inputs: Sequence[Curves]) -> list[Table]:
    tables = []
    for place, curves in (("map", maps), ("input", inputs)):
        if not curves:
            continue
        mean = torch.stack([one.measured for one in curves]).mean(0)
        columns: tuple[str, ...] = ("share gone", *ORDERS)
        rows = [(step, *mean[:, column].tolist()) for column, step in enumerate(STEPS)]
        told = [one.predicted for one in curves if one.predicted is not None]
        if told:
            columns = (*columns, *(f"{order}, predicted" for order in ORDERS))
            expected = torch.stack(told).mean(0)
            rows = [(*row, *expected[:, column].tolist()) for column, row in enumerate(rows)]
        tables.append(Table(columns, tuple(rows), f"Positions removed at the {place}"))
    return tables


FAITHFULNESS = Audit("faithfulness", "Does the evidence say what the classifier goes by?", measure, weight=2.0)
