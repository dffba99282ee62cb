"""Position leak: how well a linear probe reads from pooled features where an object is.

Averaging over positions forgets where things are; zero padding tells the network, and the channels carry it through
the average (Islam, Kowal, Jia, Derpanis, Bruce, Global pooling, more than meets the eye, 2021; Kayhan, van Gemert
2020). The control is the same network with borders that go round: objects moved by whole strides then give the same
pooled vector exactly, and there is nothing to read.
"""

import torch
from torch import Tensor

from globalpool.audits.audit import Audit
from globalpool.audits.finding import Cell, Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.intervals import mean_interval
from globalpool.audits.opened import opened_dense
from globalpool.audits.rewired import CircularBorders
from globalpool.audits.samples import AuditData, Clock, middle
from globalpool.audits.stride import Reach, whole
from globalpool.classifier import PooledClassifier

#: Objects, places of each, and the share of the variance of position that may be read.
OBJECTS, PLACES, LIMIT = 8, 16, 0.2
#: Penalties of the probe tried, as powers of ten of the mean eigenvalue.
POWERS = range(-6, 3)


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Patches of the samples' middles at places a whole number of strides apart; the probe judged on other patches."""
    clock = Clock(data.budget)
    random = data.generator()
    given = data.alike(2)[:OBJECTS]
    if len(given) < 2:
        raise DoesNotApplyError("needs two samples: the probe is judged on an object it has not seen")
    own: list[Tensor] = []
    control: list[Tensor] = []
    placed: list[Tensor] = []
    with torch.no_grad():
        first, known = whole(classifier, given[0])
        shape = first.shape
        objects = [middle(x, shape[2:]) for x in given]
        places = _places(known, shape, random)
        for x in clock.within(objects, "objects", least=2):
            inputs = torch.cat([_at(x, place, _side_of(shape)) for place in places])
            own.append(torch.cat([opened_dense(classifier, part).vectors() for part in inputs.split(8)]).double())
            with CircularBorders() as borders:
                control.append(
                    torch.cat([opened_dense(classifier, part).vectors() for part in inputs.split(8)]).double()
                )
            placed.append(torch.tensor(places, dtype=torch.float64))
    found, checked = (_by_axis(vectors, placed) for vectors in (own, control))
    axes = ("planes", "rows", "columns")[3 - found.shape[1] :]
    rows: list[tuple[Cell, ...]] = [
        (name, float(found[:, axis].mean()), float(checked[:, axis].mean())) for axis, name in enumerate(axes)
    ]
    measured, interval = mean_interval(found.mean(1))
    table = Table(("position along", "as it is", "borders that go round"), tuple(rows), "R^2 on objects not seen")
    fail = measured > LIMIT
    if not borders.padded:
        clock.notes.append("no zero padding was met: the control is the network itself")
    return POSITION_LEAK.finding(
        "fail" if fail else "pass",
        f"A linear probe reads {100 * max(0.0, measured):.0f} % of the variance of an object's position from the "
        f"pooled vector, {100 * max(0.0, float(checked.mean())):.0f} % with borders that go round: "
        + (
            "where labels go with place, the head can use it; train with random crops, or pad by reflection."
            if fail
            else "the head hardly knows where things are."
        ),
        measured=measured,
        interval=interval,
        predicted=0.0 if not classifier.pool.needs_geometry else None,
        unit="R^2 of position (predicted: with borders that go round)",
        threshold=f"at most {LIMIT}",
        tables=(table,),
        charts=(
            Chart(
                table, "position along", ("as it is", "borders that go round"), "bars", "position read", "R^2", LIMIT
            ),
        ),
        notes=tuple(clock.notes),
    )


def _side_of(shape: torch.Size) -> tuple[int, ...]:
    """A patch takes a third of each axis."""
    return tuple(max(1, side // 3) for side in shape[2:])


def _places(own: Reach, shape: torch.Size, random: torch.Generator) -> list[tuple[int, ...]]:
    """Corners of the patch, whole strides apart; at most PLACES of them, drawn without repetition."""
    if not own.whole:
        raise DoesNotApplyError("needs inputs of a whole number of strides, or shifts are no shifts of the map")
    sides = _side_of(shape)
    axes = [
        torch.arange(0, side - patch + 1, stride)
        for side, patch, stride in zip(shape[2:], sides, own.stride, strict=True)
    ]
    if min(len(axis) for axis in axes) < 3:
        raise DoesNotApplyError("needs inputs of four strides and more along each axis")
    every = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    chosen = every[torch.randperm(len(every), generator=random)[:PLACES]]
    return [tuple(row) for row in chosen.tolist()]


def _at(x: Tensor, place: tuple[int, ...], sides: tuple[int, ...]) -> Tensor:
    """The middle of ``x (1, C, *S)`` alone on zeros, its corner at ``place``."""
    there = tuple(slice(p, p + s) for p, s in zip(place, sides, strict=True))
    canvas = torch.zeros_like(x)
    canvas[(slice(None), slice(None), *there)] = middle(x, sides)
    return canvas


def _by_axis(vectors: list[Tensor], placed: list[Tensor]) -> Tensor:
    """``R^2 (objects, axes)``, each object judged by a ridge probe of all others; its penalty chosen without it."""
    scores = []
    for judged in range(len(vectors)):
        others = [number for number in range(len(vectors)) if number != judged]
        scores.append(_judged(vectors, placed, others, judged))
    return torch.stack(scores)


def _judged(vectors: list[Tensor], placed: list[Tensor], fitted: list[int], judged: int) -> Tensor:
    # Each object has a mean of its own, which says nothing of place.
    x = torch.cat([vectors[n] - vectors[n].mean(0) for n in fitted])
    y = torch.cat([placed[n] - placed[n].mean(0) for n in fitted])
    goal = placed[judged] - placed[judged].mean(0)
    scale = float(x.square().sum() / len(x))
    reference = float(torch.cat([vectors[n] for n in fitted]).square().sum() / len(x))
    if scale <= 1e-9 * reference:  # rounding: the vectors do not move with the object
        return torch.zeros(y.shape[1], dtype=torch.float64)
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    best: tuple[float, Tensor] = (float("inf"), torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64).to(x))
    for power in POWERS:
        strength = 10.0**power * float(s.square().mean())
        shrink = s.square() / (s.square() + strength)
        told = u @ (shrink[:, None] * (u.T @ y.to(u)))
        error = float((y.to(u) - told).square().sum() / (1 - min(0.999, float(shrink.sum()) / len(x))) ** 2)
        if error < best[0]:
            best = (error, v.T @ ((s / (s.square() + strength))[:, None] * (u.T @ y.to(u))))
    own = vectors[judged] - vectors[judged].mean(0)
    left = (goal.to(own) - own @ best[1]).square().sum(0)
    return (1 - left / goal.to(own).square().sum(0)).cpu()


POSITION_LEAK = Audit("position_leak", "Does the pooled vector know where an object is?", measure, 2.0)
