"""Whether a class stays when the input changes in ways that should not matter.

A mean over positions forgets where things are, at the map: mirrored there, no logit moves. Mirrored at the input the
trunk sees other patterns; only a bank of filters that holds each filter's mirror image would give the same.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from globalpool.audits.audit import Audit
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table, Verdict
from globalpool.audits.grids import as_tensor, whole
from globalpool.audits.intervals import share_interval
from globalpool.audits.opened import opened
from globalpool.audits.samples import AuditData, Clock
from globalpool.audits.transformations import (
    Transformation,
    cropped,
    is_picture,
    of_graphs,
    of_grid,
    of_pictures,
    of_values,
    resized,
)
from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.layout import Padded
from globalpool.pools import Pool

#: Share of the samples whose class stays under the worst mild change.
AGREES = 0.8
#: Relative deviation of the logits under a change that moves none.
ROUNDING = 1e-4
AT_MAP = "mirrored at the map"


def transformations(data: AuditData, spec: InputSpec | None) -> list[Transformation]:
    """Those that have a meaning for these inputs; DoesNotApplyError where none has."""
    x, grids = data.inputs[0], [_full(x) for x in data.inputs]
    known = [grid for grid in grids if grid is not None]
    if len(known) == len(grids):
        changes = of_grid(known[0].ndim - 2)
        if spec is not None and all(is_picture(grid, spec) for grid in known):
            return [*changes[:-1], *of_pictures(spec)]  # blurred by Pillow, in pixels
        return [*changes, *of_values()]
    if hasattr(x, "edge_index") and hasattr(x, "is_node_attr"):
        return of_graphs(data.generator())
    raise DoesNotApplyError(f"knows no change of a {type(x).__name__} that leaves its class")


def _full(x: Any) -> Tensor | None:
    """The values of an input that is one full grid, whatever its measure."""
    return as_tensor(Padded(x.values, x.sizes) if isinstance(x, Padded) else x)


def changed(transformation: Transformation, x: Any) -> Any:
    """One changed input; cropped pictures and volumes at their old size again."""
    if isinstance(x, Padded):
        values, measure = _changed(transformation, x.values), x.measure
        if measure is not None and transformation.moves:
            measure = _changed(transformation, measure[:, None])[:, 0]
        return Padded(values, torch.tensor([tuple(values.shape[2:])], device=x.sizes.device), measure)
    return _changed(transformation, x) if isinstance(x, Tensor) else transformation.apply(x)


def _changed(transformation: Transformation, values: Tensor) -> Tensor:
    found: Tensor = transformation.apply(values)
    resize = transformation.apply is cropped and values.ndim > 3
    return resized(found, tuple(values.shape[2:])) if resize else found


def decided(logits: Tensor) -> int:
    """The class of ``(1, K)``; of a single logit its sign."""
    return int(logits[0].argmax()) if logits.shape[1] > 1 else int(logits[0, 0] > 0)


def deviation(own: Tensor, other: Tensor) -> float:
    """``|other - own| / |own|`` of logits ``(1, K)``, Euclidean, each against its mean over classes (of several)."""
    if own.shape[1] > 1:
        own, other = own - own.mean(1, keepdim=True), other - other.mean(1, keepdim=True)
    size = float(own.double().norm())
    return float((other.double() - own.double()).norm()) / size if size else 0.0


def forgets_places(pool: Pool) -> bool:
    """Whether the pool's value is the same for its positions in any order."""
    return not any(isinstance(part, Pool) and part.needs_geometry for part in pool.modules())


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Sample by sample."""
    clock = Clock(data.budget)
    spec = classifier.input_spec if data.spec is None else data.spec
    changes = transformations(data, spec if isinstance(spec, InputSpec) else None)
    names = [change.name for change in changes]
    stays: dict[str, list[bool]] = {name: [] for name in (*names, AT_MAP)}
    moves: dict[str, list[float]] = {name: [] for name in (*names, AT_MAP)}
    right: dict[str, list[bool]] = {name: [] for name in ("", *names)}
    exact = True
    with torch.no_grad():
        for x, target in clock.within(list(zip(data.inputs, data.targets.tolist(), strict=True)), "samples"):
            at = opened(classifier, x)
            own = classifier(x)
            right[""].append(decided(own) == target)
            if whole(at):
                exact = forgets_places(at.pool)
                mirrored = at.logits(at.features.flip(tuple(range(2, at.features.ndim))))
                _note(stays, moves, AT_MAP, own, mirrored)
            for change in changes:
                logits = classifier(changed(change, x))
                _note(stays, moves, change.name, own, logits)
                right[change.name].append(decided(logits) == target)
    mild = {change.name for change in changes if change.mild}
    promised = {change.name for change in changes if change.exact} | ({AT_MAP} if exact else set())
    rows = [_row(name, stays, moves, promised, right.get(name), data.labelled) for name in stays if stays[name]]
    table = Table(
        ("change", "agreement", "low", "high", "logit deviation", "predicted", "accuracy"),
        tuple(rows),
        f"Of {len(right[''])} samples" + (f", {sum(right['']) / len(right['']):.3f} right unchanged" * data.labelled),
    )
    worst = min((row for row in rows if row[0] in mild), key=lambda row: row[1])
    broken = [row[0] for row in rows if row[0] in promised and row[4] > ROUNDING]
    verdict: Verdict = "fail" if broken or worst[3] < AGREES else "pass" if worst[1] >= AGREES else "info"
    drawn = Table(table.columns, tuple(row for row in rows if row[0] != AT_MAP), table.title)
    return CONSISTENCY.finding(
        verdict,
        _advice(verdict, worst, broken),
        measured=worst[1],
        interval=(worst[2], worst[3]),
        unit=f"share of the samples whose class stays when {worst[0]}, the worst mild change",
        threshold=f"at least {AGREES:g}, none where only the interval reaches it; logits unmoved ({ROUNDING:g}) where "
        "theory says so",
        tables=(table,),
        charts=(
            Chart(drawn, "change", ("agreement",), "bars", "Class unchanged", "share of samples", AGREES),
            Chart(drawn, "change", ("logit deviation",), "bars", "How far the logits move", "relative to their size"),
        ),
        notes=tuple(clock.notes),
    )


Row = tuple[str, float, float, float, float, float | None, float | None]


def _note(stays: dict[str, list[bool]], moves: dict[str, list[float]], name: str, own: Tensor, other: Tensor) -> None:
    stays[name].append(decided(own) == decided(other))
    moves[name].append(deviation(own, other))


def _row(
    name: str,
    stays: dict[str, list[bool]],
    moves: dict[str, list[float]],
    promised: set[str],
    right: list[bool] | None,
    labelled: bool,
) -> Row:
    share, (low, high) = share_interval(stays[name])
    accuracy = sum(right) / len(right) if labelled and right else None
    mean = sum(moves[name]) / len(moves[name])
    return name, share, low, high, mean, 0.0 if name in promised else None, accuracy


def _advice(verdict: Verdict, worst: Row, broken: Sequence[str]) -> str:
    if broken:
        return f"Logits move when {broken[0]}, which they must not: look at what the trunk or the pool reads besides."
    if verdict == "info":
        return f"Too few samples to tell: {worst[0]} changes the class of {100 * (1 - worst[1]):.0f} %."
    if verdict == "pass":
        return f"Nothing mild changes many classes; the worst is {worst[0]}, {100 * (1 - worst[1]):.0f} % of them."
    return (
        f"Train with such changes, or with a consistency objective: {worst[0]} changes the class of "
        f"{100 * (1 - worst[1]):.0f} %."
    )


CONSISTENCY = Audit(
    "consistency", "Does the class stay when the input changes in ways that should not matter?", measure
)
