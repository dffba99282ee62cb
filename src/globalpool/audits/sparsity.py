"""How many positions carry 90 % of a logit difference.

Positions are taken by their evidence, largest first, until their sum reaches a share of what all of them give
together. Where evidence is linear, a map that keeps those positions and nothing else must give exactly that share:
measured beside it.
"""

import torch
from torch import Tensor

from globalpool.audits.audit import Audit
from globalpool.audits.deciding import deciding, difference, values, without
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.intervals import mean_interval
from globalpool.audits.opened import opened
from globalpool.audits.samples import AuditData, Clock
from globalpool.classifier import PooledClassifier

SHARES = (0.25, 0.5, 0.75, 0.9, 0.99)
CARRIED = 0.9
#: Evidence that is the same everywhere needs CARRIED of the positions; a map that needs over this points nowhere.
DIFFUSE = 0.75
#: Fewer positions leave no room for a verdict.
LEAST = 16


def carrying(evidence: Tensor, share: float) -> Tensor | None:
    """Which of ``(P,)`` positions, largest first, reach ``share`` of the sum of all; None where it is not positive."""
    total = evidence.sum()
    if float(total) <= 0:
        return None
    order = evidence.argsort(descending=True, stable=True)
    reached = evidence[order].cumsum(0) >= share * total
    count = int(reached.to(torch.uint8).argmax()) + 1
    chosen = torch.zeros(len(evidence), dtype=torch.bool)
    chosen[order[:count]] = True
    return chosen


def measure(classifier: PooledClassifier, data: AuditData) -> Finding:
    """Sample by sample."""
    clock = Clock(data.budget)
    needed: dict[float, list[float]] = {share: [] for share in SHARES}
    predicted: dict[float, list[float]] = {share: [] for share in SHARES}
    kept: dict[float, list[float]] = {share: [] for share in SHARES}
    against, positions, kind = 0, [], "linear"
    for x in clock.within(data.inputs, "samples"):
        with torch.no_grad():
            evidence, at = deciding(classifier, x), opened(classifier, x)
            own = values(evidence)
            kind = evidence.kind
            if carrying(own, CARRIED) is None:
                against += 1
                continue
            mask = at.layout.get("mask")
            present = len(own) if mask is None else int((mask > 0).sum())
            positions.append(present)
            nothing = torch.ones(len(own), dtype=torch.bool)
            ends = [float(difference(without(at, gone), evidence)) for gone in (~nothing, nothing)]
            for share in SHARES:
                chosen = carrying(own, share)
                assert chosen is not None, "the sum is positive"
                needed[share].append(int(chosen.sum()) / present)
                predicted[share].append(float(own[chosen].sum() / own.sum()))
                left = float(difference(without(at, ~chosen), evidence))
                kept[share].append((left - ends[1]) / (ends[0] - ends[1]) if ends[0] != ends[1] else float("nan"))
    if not positions:
        raise DoesNotApplyError("no sample's positions give its first class more than its second")
    mean, interval = mean_interval(needed[CARRIED])
    rows = tuple((share, *(mean_interval(of[share])[0] for of in (needed, predicted, kept))) for share in SHARES)
    table = Table(
        ("share of the logit", "positions needed", "kept by them, predicted", "kept by them, measured"),
        rows,
        f"Positions, largest evidence first ({kind} evidence)",
    )
    chart = Chart(
        table, table.columns[0], (table.columns[1],), title="Positions that carry a share", unit="share of them"
    )
    few = min(positions) < LEAST
    diffuse = mean > DIFFUSE
    left_out = f"{against} samples left out, whose offset decides and not their positions" if against else ""
    return SPARSITY.finding(
        "info" if few else "fail" if diffuse else "pass",
        "The evidence is spread over the whole map: do not read it as a place."
        if diffuse
        else f"On the average {mean * sum(positions) / len(positions):.0f} positions carry 90 % of the difference "
        "between the first two logits: show those.",
        measured=mean,
        interval=interval,
        unit="share of the positions that carries 90 % of the difference between the first two logits",
        threshold=f"at most {DIFFUSE:g}; evidence that is equal everywhere needs {CARRIED:g}",
        tables=(table,),
        charts=(chart,),
        notes=(*([left_out] if left_out else []), *clock.notes),
    )


SPARSITY = Audit("sparsity", "How many positions carry 90 % of a logit difference?", measure, weight=0.5)
