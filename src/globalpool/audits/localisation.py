"""How far the evidence finds objects better than the middle of the picture does.

Objects of photographs lie in the middle: a map that always points there scores well (Choe et al., Evaluating weakly
supervised object localization methods right, CVPR 2020). Needs true boxes: half of the samples choose the threshold,
of the evidence and of the middle alike, the others judge.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from globalpool.audits.audit import Audit
from globalpool.audits.deciding import deciding
from globalpool.audits.finding import Chart, DoesNotApplyError, Finding, Table
from globalpool.audits.grids import as_tensor
from globalpool.audits.samples import AuditData, Clock
from globalpool.classifier import PooledClassifier
from globalpool.localize import Bootstrap, BoxProtocol, Heatmaps, Measured, heatmaps, max_box_accuracy

#: Boxes by the id of a sample: one ``(2D,)`` or several ``(M, 2D)``, as in ``globalpool.localize``.
Boxes = Mapping[str, Any]
#: Fewer judged samples leave no room for a verdict.
LEAST = 8
NEEDS = "needs true boxes: --boxes TABLE, or audits.localisation.against_boxes(boxes) keyed by the samples' ids"


def against_boxes(boxes: Boxes) -> Audit:
    """The audit for samples whose true boxes are known.

    ``boxes``: by the sample's id (its path as text, or its number), ``(x, y, width, height)`` half-open in pixels of
    the picture as it is on disk, or of the input where that is a tensor; ``(start, length)`` in 1-D.
    """
    return Audit(LOCALISATION.name, LOCALISATION.question, partial(measure, boxes), LOCALISATION.weight)


def measure(boxes: Boxes, classifier: PooledClassifier, data: AuditData) -> Finding:
    """The Finding of the samples that have boxes."""
    clock = Clock(data.budget)
    known = [number for number, name in enumerate(data.ids) if name in boxes]
    if not known:
        raise DoesNotApplyError(
            NEEDS if not boxes else f"no box is keyed by an id of these samples, as {data.ids[0]!r}"
        )
    order = torch.randperm(len(known), generator=data.generator()).tolist()
    maps: list[NDArray[Any]] = []
    true: list[NDArray[Any]] = []
    view = "contrast"
    for number in clock.within([known[place] for place in order], "samples with boxes", least=4):
        x = as_tensor(data.inputs[number])
        if x is None:
            raise DoesNotApplyError("needs inputs on a regular grid, of which a box is a part")
        evidence = deciding(classifier, data.inputs[number])
        size = data.pictures[number].shape[:2] if data.pictures else tuple(x.shape[2:])
        found = heatmaps(evidence, size)
        view = found.view
        maps += found.values
        true.append(np.asarray(boxes[data.ids[number]], dtype=np.float64).reshape(-1, 2 * (x.ndim - 2)))
    if len(maps) < 4:
        raise DoesNotApplyError(
            f"needs four samples with boxes or more, half of them to choose a threshold; got {len(maps)}"
        )
    half = len(maps) // 2
    protocol = BoxProtocol(bootstrap=Bootstrap(seed=data.seed))
    held_out = Heatmaps(tuple(maps[:half]), view), true[:half]  # type: ignore[arg-type]
    judged = Heatmaps(tuple(maps[half:]), view)  # type: ignore[arg-type]
    result = max_box_accuracy(judged, true[half:], validation=held_out, protocol=protocol)
    at = result.rows[0]
    rows: list[tuple[str, Measured, float | None]] = [
        ("evidence", result.accuracy, at.threshold),
        ("centre", result.centre, at.centre_threshold),
        ("random box", result.random, None),
    ]
    if result.zero is not None:
        rows.append(("evidence above zero", result.zero, None))
    table = Table(
        ("what localises", "accuracy", "low", "high", "threshold"),
        tuple((name, of.value, of.low, of.high, threshold) for name, of, threshold in rows),
        f"MaxBoxAcc at half overlap, {result.samples} samples, threshold from {half} others",
    )
    above = result.above_centre
    few, good = result.samples < LEAST, above.low > 0
    return LOCALISATION.finding(
        "info" if few else "pass" if good else "fail",
        "The evidence finds objects where they are; read boxes off it with the threshold chosen here."
        if good
        else "Boxes from this evidence are no better than the middle of the picture: do not sell them as localisation.",
        measured=above.value,
        interval=(above.low, above.high),
        unit="share of boxes found by the evidence above that found by the middle of the picture",
        threshold=f"interval above 0; no verdict below {LEAST} judged samples",
        tables=(table,),
        charts=(Chart(table, "what localises", ("accuracy",), "bars", "Boxes found", "share of samples"),),
        notes=tuple(clock.notes),
    )


LOCALISATION = Audit(
    "localisation", "Does the evidence find objects better than the middle of the picture?", partial(measure, {}), 0.5
)
