"""Shift: what moves when the input moves, and whether borders, strides or the pool are the cause.

Pooling does not see a circular shift of the map. The network does: exactly invariant are shifts by whole strides with
borders that go round; zero padding and smaller shifts break it (Azulay, Weiss 2019; Zhang 2019). A shift by ``d`` with
new content moves an average by at most ``(d + 2 rho) / W`` of the range of the map, ``2 rho`` the receptive field.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from globalpool.audits.audit import Audit
from globalpool.audits.drift import centred
from globalpool.audits.finding import Cell, Chart, Finding, Table
from globalpool.audits.intervals import share_interval
from globalpool.audits.opened import Opened, opened_dense
from globalpool.audits.rewired import CircularBorders, LowPass
from globalpool.audits.samples import AuditData, Clock, middle
from globalpool.audits.stride import Reach, whole
from globalpool.classifier import PooledClassifier
from globalpool.pools import Mean

#: Share of shifts below a stride that must leave the class; relative change that rounding may make.
CONSISTENT, ROUNDING = 0.95, 1e-4
MAP, WHOLE, WHOLE_ROUND = "map, going round", "input, whole strides", "input, whole strides, borders that go round"
PART, PART_ROUND = "input, parts of a stride", "input, parts of a stride, borders that go round"
PART_BLUR, ZERO = "input, parts of a stride, low-pass before strides", "input, a stride, zeros move in"


@dataclass(eq=False)
class _Moved:
    """A number a shift: change of the centred logits over their size, and whether the class stays."""

    change: list[float] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)

    def add(self, before: Tensor, after: Tensor) -> None:
        start = centred(before.double())
        moved = centred(after.double()) - start
        self.change += (moved.square().sum(1) / start.square().sum(1)).sqrt().tolist()
        self.same += (after.argmax(1) == before.argmax(1)).tolist()


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Each sample shifted along all axes at once, in the network as it is, with round borders, and with a low-pass."""
    clock = Clock(data.budget)
    moved: dict[str, _Moved] = {}
    bounds: list[tuple[float, float, int, int]] = []
    with torch.no_grad():
        shape = data.tensors()[0].shape
        first, known = whole(classifier, data.tensors()[0])
        if first.shape != shape:
            clock.notes.append(f"inputs are cropped to whole strides of {known.stride}")
        if max(known.stride) < 2:
            clock.notes.append("the trunk has no stride: shifts by parts of one are shifts by one position")
        for given in clock.within(data.tensors(), "samples"):
            same = given.shape == shape
            x, own = (middle(given, first.shape[2:]), known) if same else whole(classifier, given)
            opened = opened_dense(classifier, x)
            before = opened.logits()
            rolled = _rolled(opened.features, [(1,) * (x.ndim - 2), (2,) + (1,) * (x.ndim - 3)])
            for features in rolled.split(1):
                moved.setdefault(MAP, _Moved()).add(before, opened.logits(features))
            strides = _rolled(x, [tuple(k * stride for stride in own.stride) for k in (1, 2)])
            part = _rolled(x, _parts(own))
            moved.setdefault(WHOLE, _Moved()).add(before, _told(classifier, strides))
            moved.setdefault(PART, _Moved()).add(before, _told(classifier, part))
            with CircularBorders():
                start = _told(classifier, x)
                moved.setdefault(WHOLE_ROUND, _Moved()).add(start, _told(classifier, strides))
                moved.setdefault(PART_ROUND, _Moved()).add(start, _told(classifier, part))
            with LowPass() as blur:
                start = _told(classifier, x)
                if blur.blurred:
                    moved.setdefault(PART_BLUR, _Moved()).add(start, _told(classifier, part))
            step = own.stride[-1]
            pushed = torch.cat([torch.zeros_like(x[..., :step]), x[..., :-step]], -1)
            after = opened_dense(classifier, pushed)
            moved.setdefault(ZERO, _Moved()).add(before, after.logits())
            if type(opened.pool) is Mean and opened.pool.dim is None:
                bounds.append((*_bound(opened, after, own, x.shape[-1]), own.stride[-1], own.diameter[-1]))
    return _finding(classifier, known, moved, bounds, clock)


def _told(classifier: PooledClassifier, x: Tensor) -> Tensor:
    logits: Tensor = classifier(x)
    return logits


def _rolled(x: Tensor, shifts: list[tuple[int, ...]]) -> Tensor:
    axes = tuple(range(2, x.ndim))
    return torch.cat([x.roll(shift, axes) for shift in shifts])


def _parts(own: Reach) -> list[tuple[int, ...]]:
    """One position, a quarter, half and three quarters of a stride; without strides one position."""
    shares = [[1, stride // 4, stride // 2, 3 * stride // 4] for stride in own.stride]
    found = dict.fromkeys(tuple(max(1, row[k]) for row in shares) for k in range(4))
    return list(found)


def _bound(before: Opened, after: Opened, own: Reach, side: int) -> tuple[float, float]:
    """The bound as a share of the range of the map, and the largest share that a channel's average moved by."""
    both = torch.cat([before.features, after.features]).double().transpose(0, 1).flatten(1)
    extent = both.amax(1) - both.amin(1)
    change = (after.vectors().double() - before.vectors().double())[0].abs()
    alive = extent > 0
    return min(1.0, (own.stride[-1] + own.diameter[-1]) / side), float((change[alive] / extent[alive]).max())


def _finding(
    classifier: PooledClassifier,
    known: Reach,
    moved: dict[str, _Moved],
    bounds: list[tuple[float, float, int, int]],
    clock: Clock,
) -> Finding:
    free = not classifier.pool.needs_geometry
    exact = {MAP: 0.0 if free else None, WHOLE_ROUND: 0.0 if free and known.whole else None}
    order = [name for name in (MAP, WHOLE_ROUND, WHOLE, PART_ROUND, PART, PART_BLUR, ZERO) if name in moved]
    mean = {name: sum(moved[name].change) / len(moved[name].change) for name in order}
    rows: list[tuple[Cell, ...]] = [
        (name, exact.get(name), mean[name], sum(moved[name].same) / len(moved[name].same)) for name in order
    ]
    table = Table(
        ("shift", "predicted", "change of the logits", "same class"), tuple(rows), "Relative, rms over classes"
    )
    tables = [table]
    if bounds:
        columns = ("shift", "receptive field, at most", "predicted bound", "largest change of an average")
        worst = max(bounds, key=lambda one: one[1] - one[0])
        tables.append(Table(columns, ((worst[2], worst[3], worst[0], worst[1]),), "Zeros move in: shares of the range"))
    consistent, interval = share_interval(moved[PART].same)
    broken = [name for name, value in exact.items() if value is not None and mean[name] > ROUNDING]
    exceeded = any(change > bound + 1e-6 for bound, change, _, _ in bounds)
    fail = consistent < CONSISTENT or bool(broken) or exceeded
    return SHIFT.finding(
        "fail" if fail else "pass",
        _advice(mean, consistent, broken),
        measured=consistent,
        interval=interval,
        unit="of shifts by parts of a stride keep the class",
        threshold=f"at least {CONSISTENT} keep it; what is exactly invariant moves by at most {ROUNDING}",
        tables=tuple(tables),
        charts=(Chart(table, "shift", ("change of the logits",), "bars", "what moves the logits", "relative change"),),
        notes=tuple(clock.notes),
    )


def _advice(mean: dict[str, float], consistent: float, broken: list[str]) -> str:
    if broken:
        return f"Not invariant where it should be ({', '.join(broken)}): pool or tail read positions."
    border, aliasing = mean[WHOLE], mean[PART_ROUND]
    text = (
        f"The class stays in {100 * consistent:.0f} % of small shifts; zero padding moves the logits by "
        f"{100 * border:.1f} %, strides by {100 * aliasing:.1f} %"
    )
    if PART_BLUR in mean:
        text += f", by {100 * mean[PART_BLUR]:.1f} % with a low-pass before them (against {100 * mean[PART]:.1f} %)"
    return text + "."


SHIFT = Audit("shift", "What moves when the input moves?", measure, 1.5)
