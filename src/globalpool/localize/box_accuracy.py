"""MaxBoxAcc, MaxBoxAccV2, temporal IoU and their 3-D kin, by the protocol of Choe et al. (2020).

Evaluating weakly supervised object localization methods right, CVPR 2020; code: clovaai/wsolevaluation.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import LocalizationError
from globalpool.localize.baselines import random_hits
from globalpool.localize.box_results import AtOverlap, BoxAccuracy, Chosen
from globalpool.localize.boxes import Boxes
from globalpool.localize.heatmaps import Maps, read_maps
from globalpool.localize.judged import BoxProtocol

Array = NDArray[Any]
V1 = BoxProtocol()
V2 = BoxProtocol(iou=(0.3, 0.5, 0.7), keep="all")


def max_box_accuracy(
    maps: Maps,
    boxes: Boxes,
    *,
    validation: tuple[Maps, Boxes] | None = None,
    threshold: float | None = None,
    protocol: BoxProtocol = V1,
    metric: str = "MaxBoxAcc",
) -> BoxAccuracy:
    """MaxBoxAcc: the share of pictures whose largest component's box meets a true box by half.

    ``maps``: ``(N, *S)``, a list of ``(*S)`` or ``heatmaps(evidence, size)``, 1 to 3 axes, of the class that is to be
    found; ``boxes``: of each picture one or more, ``(x, y, width, height)`` half-open in the map's pixels.

    The threshold, a share of each map's range, is chosen as the best for ``validation`` (maps and boxes of other
    pictures), separately for each overlap demanded; or is ``threshold`` itself; without either it is the best for
    these pictures, and the result is labelled "oracle". The centre baseline's is chosen in the same way; beside a given
    number it is the best for these pictures. ``protocol``: overlaps demanded, components that count, thresholds,
    definition ("reference" gives the numbers of the paper's code, bit for bit, for maps of two axes), intervals.

    LocalizationError for maps, boxes and thresholds that do not fit.
    """
    read, true = protocol.read(metric, maps, boxes)
    own = protocol
    if threshold is not None:
        if validation is not None or not 0 <= threshold < 1:
            got = f"{threshold}" + (" and validation" if validation is not None else "")
            raise LocalizationError(metric, "one `threshold` from 0 to below 1, or validation, not both", got)
        own = protocol.at(threshold)
    met, centre = own.met(read, true), protocol.met_by_centre(read, true)
    chosen: Chosen = "oracle" if threshold is None else "given"
    basis = (met, centre)
    if validation is not None:
        chosen, (other, others) = "validation", protocol.read(metric, *validation)
        if other.axes != read.axes:
            raise LocalizationError(metric, f"validation maps of {read.axes} axes", f"{other.axes}")
        basis = (protocol.met(other, others), protocol.met_by_centre(other, others))
    at, centre_at = own.best(basis[0]), protocol.best(basis[1])

    least, count = np.array(protocol.iou), len(protocol.iou)
    chance = random_hits(read.shapes, true, tuple(protocol.iou), protocol.bootstrap.seed)
    groups = [met[:, at] >= least, centre[:, centre_at] >= least, chance]
    if read.view in ("contrast", "centered"):
        groups.append(protocol.met_above_zero(read, true)[:, None] >= least)
    columns = np.concatenate([*groups, met[:, at].mean(1, keepdims=True)], 1).astype(np.float64)

    def statistic(mean: Array) -> Array:
        """Columns, the mean of each group, and how far the first lies above the second."""
        totals = mean[:, :-1].reshape(len(mean), len(groups), count).mean(2)
        return np.concatenate([mean, totals, totals[:, :1] - totals[:, 1:2]], 1)

    measured = protocol.bootstrap.measure(columns, statistic)
    single = [measured[group * count : (group + 1) * count] for group in range(len(groups))]
    total = measured[len(groups) * count + 1 :]
    return BoxAccuracy(
        metric,
        len(read),
        protocol.keep,
        protocol.definition,
        chosen,
        rows=tuple(
            AtOverlap(
                float(iou),
                float(own.thresholds[at[row]]),
                float(protocol.thresholds[centre_at[row]]),
                accuracy=single[0][row],
                centre=single[1][row],
                random=single[2][row],
                zero=single[3][row] if len(groups) == 4 else None,
            )
            for row, iou in enumerate(protocol.iou)
        ),
        accuracy=total[0],
        centre=total[1],
        random=total[2],
        above_centre=total[-1],
        mean_overlap=measured[len(groups) * count],
        zero=total[3] if len(groups) == 4 else None,
        confidence=protocol.bootstrap.confidence,
        thresholds=own.thresholds,
        curve=np.stack([(met >= iou).mean(0) for iou in protocol.iou]),
    )


def max_box_accuracy_v2(
    maps: Maps,
    boxes: Boxes,
    *,
    validation: tuple[Maps, Boxes] | None = None,
    threshold: float | None = None,
    protocol: BoxProtocol = V2,
) -> BoxAccuracy:
    """MaxBoxAccV2: every component counts; the mean over overlaps of 0.3, 0.5 and 0.7, each with its own threshold.

    Arguments and errors as of ``max_box_accuracy``.
    """
    return max_box_accuracy(
        maps, boxes, validation=validation, threshold=threshold, protocol=protocol, metric="MaxBoxAccV2"
    )


def temporal_iou(
    maps: Maps,
    segments: Boxes,
    *,
    validation: tuple[Maps, Boxes] | None = None,
    threshold: float | None = None,
    protocol: BoxProtocol = V2,
) -> BoxAccuracy:
    """For maps of one axis ``(N, L)`` and segments ``(start, length)``: accuracy at temporal IoU 0.3, 0.5 and 0.7.

    ``.mean_overlap`` is the mean temporal IoU. Arguments and errors as of ``max_box_accuracy``.
    """
    read = read_maps("temporal IoU", maps)
    if read.axes != 1:
        raise LocalizationError("temporal IoU", "maps of one axis", f"{read.axes}", "Use max_box_accuracy_v2.")
    return max_box_accuracy(
        read, segments, validation=validation, threshold=threshold, protocol=protocol, metric="temporal IoU"
    )
