"""How often boxes meet the true ones, beside what localises without looking."""

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from globalpool.localize.bootstrap import Measured
from globalpool.localize.candidates import Definition, Keep

Chosen = Literal["validation", "given", "oracle"]
ORACLE = "oracle: the threshold was chosen on the pictures it is judged on; give validation=(maps, boxes)"


@dataclass(frozen=True)
class AtOverlap:
    """At one demanded overlap ``iou``: the share of pictures with a box that meets a true one by at least as much.

    ``threshold`` of ``accuracy`` and ``centre_threshold`` of the centre baseline were chosen in the same way; ``zero``
    is the accuracy with the foreground ``evidence > 0``, None where zero means nothing.
    """

    iou: float
    threshold: float
    centre_threshold: float
    accuracy: Measured
    centre: Measured
    random: Measured
    zero: Measured | None


@dataclass(frozen=True, eq=False)
class BoxAccuracy:
    """``metric`` over ``samples`` pictures: ``accuracy``, the mean over ``rows``, and beside it always the baselines.

    - ``centre``: a Gaussian in the middle, its threshold chosen in the same way; ``above_centre``: paired difference;
    - ``random``: a box drawn from all boxes on the map; ``zero``: foreground ``evidence > 0``, where zero has meaning;
    - ``mean_overlap``: mean best intersection over union at the rows' thresholds (in 1-D: mean temporal IoU);
    - ``chosen``: "validation", "given" (a number of yours) or "oracle";
    - ``curve (len(rows), T)``: accuracy over the ``thresholds`` on these pictures.
    """

    metric: str
    samples: int
    keep: Keep
    definition: Definition
    chosen: Chosen
    rows: tuple[AtOverlap, ...]
    accuracy: Measured
    centre: Measured
    random: Measured
    above_centre: Measured
    mean_overlap: Measured
    zero: Measured | None
    confidence: float
    thresholds: NDArray[Any]
    curve: NDArray[Any]

    def __str__(self) -> str:
        name = f"{self.metric} (oracle)" if self.chosen == "oracle" else self.metric
        lines = [
            f"{name} {self.accuracy} over {self.samples} pictures ({self.keep} components, {self.definition} "
            f"definition; intervals of {100 * self.confidence:g} %)",
            f"  centre baseline {self.centre}; above it {self.above_centre}",
            f"  random boxes {self.random}; mean overlap {self.mean_overlap}",
        ]
        if self.zero is not None:
            lines += [f"  evidence > 0: {self.zero}"]
        for row in self.rows:
            zero = "" if row.zero is None else f", evidence > 0 {row.zero}"
            lines += [
                f"  overlap >= {row.iou:g}: {row.accuracy} at {row.threshold:g}, centre {row.centre} at "
                f"{row.centre_threshold:g}, random {row.random}{zero}"
            ]
        lines += [f"  threshold {ORACLE if self.chosen == 'oracle' else self.chosen}"]
        return "\n".join(lines)
