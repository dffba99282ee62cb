"""Variance: how much averaging over positions reduces, told from the weights and from neighbours' correlation.

``1 / sum a^2`` of the weights (all N positions for Mean) holds for independent positions. Overlapping receptive fields
and the pictures themselves make neighbours alike, and the average is worth fewer.
"""

import torch
from torch import Tensor

from globalpool.audits.audit import Audit
from globalpool.audits.effective import from_neighbours, from_weights, measured, shuffled
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.noise import amplitude_of
from globalpool.audits.opened import Opened, opened_dense
from globalpool.audits.samples import AuditData, Clock
from globalpool.classifier import PooledClassifier

#: Draws of noise at the map, and at the input of each sample; share of the weights' promise that noise must keep.
MAP_DRAWS, INPUT_DRAWS = 4000, 12
LIMIT = 0.1
#: Inputs in one pass, and blocks of draws whose spread makes the interval.
BATCH, BLOCKS = 4, 2.776


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Independent noise at the map and at the input, the maps' own variation, and the shuffled control."""
    clock = Clock(data.budget)
    random = data.generator()
    with torch.no_grad():
        first = opened_dense(classifier, data.tensors()[0])
        promised = float(_promise(first))
        drawn = _map_noise(first, random)
        noisy, told, blocks = _input_noise(classifier, data, random, clock)
        rows = [
            ("independent noise at the map", promised, drawn),
            ("independent noise at the input", told, noisy),
        ]
        quartiles: list[tuple[str, float, float, float]] = []
        maps, vectors = _all_maps(classifier, data, clock)
        if maps is None or vectors is None or len(maps) < 4:
            clock.notes.append("fewer than 4 samples of one size: their own variation is left out")
        else:
            even, odd = maps[::2], maps[1::2]
            rows.append(("variation between samples", _ratio(from_neighbours(even), even), _own(odd, vectors[1::2])))
            mixed = shuffled(maps, random)
            pooled = first.pool(mixed) if first.pool.affine else mixed.flatten(2).mean(2)
            rows.append(("the same, positions shuffled between samples", promised, _own(mixed, pooled)))
            each = measured(maps, vectors)
            each = each[each.isfinite()]
            points = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
            quartiles.append(("of channels", *each.quantile(points.to(each)).tolist()))
    table = Table(("variation", "predicted", "measured"), tuple(rows), f"Effective positions of {first.positions}")
    half = 0.0 if len(blocks) < 2 else float(blocks.std()) / len(blocks) ** 0.5
    fail = noisy < LIMIT * promised
    own = f"; between samples it is worth {rows[2][2]:.1f}" if len(rows) > 2 else ""
    return VARIANCE.finding(
        "fail" if fail else "pass",
        f"The weights promise {promised:.1f} independent positions; noise on the input meets {noisy:.1f}{own}: "
        + ("neighbours say the same, and a larger map averages little more." if fail else "averaging does its work."),
        measured=noisy,
        interval=(noisy - BLOCKS * half, noisy + BLOCKS * half) if half else None,
        predicted=promised,
        unit=f"effective positions of {first.positions} (predicted: by the weights, for independent ones)",
        threshold=f"noise on the input is averaged over at least {LIMIT} of the positions the weights promise",
        tables=(
            table,
            *(
                [Table(("", "25 %", "median", "75 %"), tuple(quartiles), "Variation between samples")]
                if quartiles
                else []
            ),
        ),
        charts=(Chart(table, "variation", ("predicted", "measured"), "bars", "effective positions", "positions"),),
        notes=tuple(clock.notes),
    )


def _promise(opened: Opened) -> Tensor:
    if opened.pool.dim is not None:
        raise DoesNotApplyError("the pool keeps an axis: its values are averages of several kinds")
    weights = opened.pool.decompose(opened.features).weights.double().flatten(3)
    if not bool((weights.sum(3) > 0).all()):
        raise DoesNotApplyError("the pool's weights do not sum to a positive number")
    return from_weights(weights).mean()


def _map_noise(opened: Opened, random: torch.Generator) -> float:
    """Noise through the pool itself, with the pool's sensitivity to a constant taken out."""
    pool, size = opened.pool, opened.features.shape[2:]
    if not pool.affine:
        return float("nan")
    channels = min(8, opened.features.shape[1])
    weights = pool.decompose(opened.features[:1]).weights.double()
    if weights.shape[2] != 1:
        channels = opened.features.shape[1]
    ones = weights.flatten(3).sum(3)  # (1, R, C or 1)
    found = []
    left = MAP_DRAWS
    while left > 0:
        now = min(left, 500)
        noise = torch.randn(now, channels, *size, generator=random, dtype=torch.float64)
        found.append((weights * noise.to(weights)[:, None]).flatten(3).sum(3) / ones)
        left -= now
    return float(1 / torch.cat(found).var(0).mean())


def _input_noise(
    classifier: PooledClassifier, data: AuditData, random: torch.Generator, clock: Clock
) -> tuple[float, float, Tensor]:
    """``n_eff`` of noise on the inputs: measured, told from neighbours in the other half of the draws, by sample."""
    amplitude = amplitude_of(data)
    ratios, told = [], []
    for x in clock.within(data.tensors()[:6], "samples under noise", least=1, share=0.6):
        maps, vectors = [], []
        for start in range(0, INPUT_DRAWS, BATCH):
            noise = torch.randn((min(BATCH, INPUT_DRAWS - start), *x.shape[1:]), generator=random)
            opened = opened_dense(classifier, x + 0.25 * amplitude.to(x) * noise.to(x))
            maps.append(opened.features.double())
            vectors.append(_averages(opened))
        here, pooled = torch.cat(maps), torch.cat(vectors)
        ratios.append(_own(here[1::2], pooled[1::2]))
        told.append(_ratio(from_neighbours(here[::2]), here[::2]))
    values = torch.tensor(ratios, dtype=torch.float64)
    return float(values.mean()), sum(told) / len(told), values


def _all_maps(classifier: PooledClassifier, data: AuditData, clock: Clock) -> tuple[Tensor | None, Tensor | None]:
    """Maps and averages of the samples whose maps have the commonest size."""
    groups: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
    for x in clock.within(data.alike(4), "samples", least=4):
        opened = opened_dense(classifier, x)
        groups.setdefault(tuple(opened.features.shape[2:]), []).append((opened.features, _averages(opened)))
    if not groups:
        return None, None
    largest = max(groups.values(), key=len)
    return torch.cat([maps for maps, _ in largest]), torch.cat([vectors for _, vectors in largest])


def _averages(opened: Opened) -> Tensor:
    """``(N, C)`` by the pool's weights, made to sum to one and averaged over regions."""
    weights = opened.pool.decompose(opened.features).weights.double()
    total = weights.flatten(3).sum(3)
    return ((weights * opened.features.double()[:, None]).flatten(3).sum(3) / total).mean(1)


def _own(maps: Tensor, vectors: Tensor) -> float:
    """Variances summed over channels before they are divided: a dead channel has none."""
    position = maps.double().var(0).flatten(1).mean(1).sum()
    return float(position / vectors.double().var(0).sum())


def _ratio(sizes: Tensor, maps: Tensor) -> float:
    """Sizes of channels joined as ``_own`` joins them."""
    variance = maps.double().var(0).flatten(1).mean(1)
    alive = (variance > 0) & sizes.isfinite()
    return float(variance[alive].sum() / (variance[alive] / sizes[alive]).sum())


VARIANCE = Audit("variance", "How many independent positions is the pooled average worth?", measure, 1.5)
