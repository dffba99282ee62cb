"""What thresholded maps inherit from averaging: three biases named by Bae, Noh and Kim (Rethinking CAM, ECCV 2020).

(i) an average makes channels that are active on a small area small, so training gives them large weights;
(ii) inside the object there are channels that speak against it; (iii) a threshold relative to the maximum hangs on one
position. Measured: the rank correlation of area and weight over channels; the share of evidence against within the
foreground; how far the foreground's area varies between samples by the maximum and by a percentile.
"""

import torch
from torch import Tensor

from globalpool.audits.audit import Audit
from globalpool.audits.deciding import deciding, difference
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.grids import whole
from globalpool.audits.intervals import mean_interval
from globalpool.audits.opened import Opened, opened
from globalpool.audits.ranks import rank_correlation
from globalpool.audits.samples import AuditData, Clock
from globalpool.classifier import PooledClassifier
from globalpool.evidence import Evidence

#: A channel is active where it exceeds this share of its own maximum; the foreground by the paper of CAM likewise.
ACTIVE = FOREGROUND = 0.2
PERCENTILE = 0.9
#: Rank correlation of area and weight below which small channels decide.
BIASED = -0.5
BINS = 5


def channel_weights(at: Opened, evidence: Evidence) -> Tensor:
    """What one unit of each pooled number ``(C,)`` adds to the difference that ``evidence`` explains."""
    with torch.enable_grad():
        vectors = at.vectors().detach().requires_grad_()
        told = difference(at.tell(vectors), evidence).sum()
        (rows,) = torch.autograd.grad(told, vectors)
    if rows.shape[1] != at.features.shape[1]:
        raise DoesNotApplyError("needs a pool with one number a channel; this one has several regions or kept axes")
    return rows[0].double()


def areas(features: Tensor) -> Tensor:
    """The share of positions at which each channel ``(C, P)`` exceeds ACTIVE of its maximum; NaN without one > 0."""
    top = features.amax(1, keepdim=True)
    share = (features > ACTIVE * top).double().mean(1)
    return torch.where(top[:, 0] > 0, share, torch.nan)


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Sample by sample; each with its own first and second class."""
    clock = Clock(data.budget)
    correlations: list[float] = []
    inside: list[float] = []
    spans: list[tuple[float, float]] = []
    pairs: list[Tensor] = []
    looked = 0
    for x in clock.within(data.inputs, "samples"):
        with torch.no_grad():
            at, evidence = opened(classifier, x), deciding(classifier, x)
        if not whole(at):
            continue
        weights, features = channel_weights(at, evidence), at.features[0].flatten(1).double()
        area = areas(features)
        for_it = (weights > 0) & ~area.isnan()
        if int(for_it.sum()) > 2:
            correlations.append(rank_correlation(area[for_it], weights[for_it]))
            pairs.append(torch.stack([area[for_it], weights[for_it] / weights[for_it].mean()], 1))
        total = evidence.maps[0, 0].flatten().double()
        top = float(total.max())
        if top > 0:
            here = total > FOREGROUND * top
            parts = weights[:, None] * features[:, here] * _position_weights(at)[:, here]
            given = float(parts.clamp(min=0).sum())
            inside.append(float(-parts.clamp(max=0).sum()) / given if given else 0.0)
            high = float(total.quantile(PERCENTILE))
            spans.append((float(here.double().mean()), float((total > FOREGROUND * high).double().mean())))
        looked += 1
    if not correlations:
        need = "three channels that are positive somewhere and speak for the class"
        raise DoesNotApplyError(f"needs {need if looked else 'maps on a full grid on which positions count alike'}")
    mean, interval = mean_interval(correlations)
    by_area, (against, _) = _by_area(torch.cat(pairs)), mean_interval(inside) if inside else (float("nan"), None)
    known = torch.tensor(spans).double() if spans else torch.full((1, 2), torch.nan).double()
    vary = (known.std(0) / known.mean(0)).tolist() if len(known) > 1 else [float("nan")] * 2
    facts = Table(("bias", "measured"), (
        ("area and weight of channels, rank correlation", mean),
        ("evidence against, per evidence for, within the foreground", against),
        (f"foreground above {FOREGROUND:g} of the maximum, share of the map", float(known[:, 0].mean())),
        ("its variation between samples, deviation / mean", vary[0]),
        (f"the same by the {100 * PERCENTILE:.0f} % percentile in place of the maximum", vary[1]),
    ), "Biases of thresholded maps")  # fmt: skip
    biased = mean < BIASED
    return AREA_BIAS.finding(
        "fail" if biased else "pass",
        "Small channels decide: threshold by a percentile, without negative weights, or draw boxes by another pool."
        if biased
        else "Weights do not hang on the channels' areas; thresholds may refer to the maximum or to a percentile.",
        measured=mean,
        interval=interval,
        unit="rank correlation of a channel's area and its weight, over channels for the class",
        threshold=f"{BIASED:g} or more",
        tables=(facts, by_area),
        charts=(
            Chart(by_area, "area", ("weight",), "bars", "Mean weight by the channel's area", "relative weight", 1.0),
        ),
        notes=tuple(clock.notes),
    )


def _position_weights(at: Opened) -> Tensor:
    """The pool's weights ``(C or 1, P)`` of one sample and one region."""
    with torch.no_grad():
        return at.pool.decompose(at.features, **at.layout).weights[0, 0].flatten(1).double()


def _by_area(pairs: Tensor) -> Table:
    """Mean relative weight of channels by their area, in fifths of the map."""
    rows = []
    for part in range(BINS):
        low, high = part / BINS, (part + 1) / BINS
        own = pairs[(pairs[:, 0] > low if part else pairs[:, 0] >= low) & (pairs[:, 0] <= high)]
        mean = float(own[:, 1].mean()) if len(own) else None
        rows.append((f"{100 * low:.0f}-{100 * high:.0f} %", mean, len(own) / len(pairs)))
    return Table(
        ("area", "weight", "share of channels"), tuple(rows), "Weight of channels by area, relative to the mean"
    )


AREA_BIAS = Audit("area_bias", "Do small channels decide what thresholded maps show?", measure, weight=0.5)
