"""A threshold for the foreground by a stated rule, and how well what it finds meets the true boxes."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import LocalizationError
from globalpool.localize.bootstrap import Bootstrap, Measured, means
from globalpool.localize.box_accuracy import V1, V2, max_box_accuracy, max_box_accuracy_v2
from globalpool.localize.box_results import BoxAccuracy
from globalpool.localize.boxes import Boxes, box_masks
from globalpool.localize.conformal import ConformalThreshold, calibrate
from globalpool.localize.foreground import Foreground, foreground
from globalpool.localize.heatmaps import Maps, read_maps

Array = NDArray[Any]
Rule = float | Literal["conformal", "boxes", "zero", "oracle"]
Kind = Literal["conformal", "validation", "oracle", "given", "zero"]


@dataclass(frozen=True)
class ChosenThreshold:
    """``threshold`` for ``foreground``; ``kind``, where it comes from.

    "conformal": at most a stated share of an object is missed in expectation; "validation": boxes overlap best by half
    on other pictures; "oracle": the same on the judged pictures themselves, too good a figure; "given": a number of
    yours; "zero": evidence for against evidence against. ``value``: a share of each map's range, for "zero" logits.
    """

    kind: Kind
    threshold: ConformalThreshold | float | Literal["zero"]

    @property
    def value(self) -> float:
        """The number."""
        if isinstance(self.threshold, ConformalThreshold):
            return self.threshold.value
        return 0.0 if self.threshold == "zero" else float(self.threshold)

    def __str__(self) -> str:
        return str(self.threshold) if self.kind == "conformal" else f"threshold {self.value:g} ({self.kind})"

    def foreground(self, maps: Maps) -> Foreground:
        """Where the maps exceed it."""
        return foreground(maps, self.threshold)


def choose_threshold(
    rule: Rule = "conformal", calibration: tuple[Maps, Boxes] | None = None, *, alpha: float = 0.1
) -> ChosenThreshold:
    """A threshold by ``rule``, where it needs them chosen on ``calibration``, maps and true boxes of other pictures.

    "conformal": at most ``alpha`` of an object is missed in expectation; "boxes": best overlap by half; "oracle": as
    "boxes", where ``calibration`` are the judged pictures; "zero"; or a number from 0 to below 1, a share of each map's
    range. LocalizationError for what is missing or odd.
    """
    if rule == "zero":
        return ChosenThreshold("zero", "zero")
    if isinstance(rule, bool | str) and rule not in ("conformal", "boxes", "oracle"):
        expected = 'a number from 0 to below 1, "conformal", "boxes", "zero" or "oracle"'
        raise LocalizationError("threshold", expected, repr(rule))
    if not isinstance(rule, str):
        if not 0 <= rule < 1:
            raise LocalizationError("threshold", "a share of each map's range, from 0 to below 1", f"{rule}")
        return ChosenThreshold("given", float(rule))
    if calibration is None:
        hint = 'Give pictures with known boxes, a number, or "zero" with contrast or centered evidence.'
        raise LocalizationError("threshold", f'calibration pictures for the rule "{rule}"', "none", hint)
    maps, boxes = calibration
    if rule == "conformal":
        masks = box_masks(boxes, read_maps("threshold", maps).shapes)
        return ChosenThreshold("conformal", calibrate(maps, masks, alpha=alpha))
    best = max_box_accuracy(maps, boxes).rows[0].threshold
    return ChosenThreshold("validation" if rule == "boxes" else "oracle", best)


@dataclass(frozen=True, eq=False)
class Localization:
    """How well maps meet true boxes: ``boxes`` is MaxBoxAcc and MaxBoxAccV2, beside their baselines.

    ``missed``: the share of the boxes' pixels that the foreground at ``threshold`` leaves out; ``taken``: the share of
    the other pixels that it takes in; means over pictures.
    """

    threshold: ChosenThreshold
    boxes: tuple[BoxAccuracy, BoxAccuracy]
    missed: Measured
    taken: Measured

    def __str__(self) -> str:
        of = f"foreground: {self.missed} of an object is missed, {self.taken} of the rest is taken in"
        return "\n".join([*map(str, self.boxes), of, f"  {self.threshold}"])


def judge_localization(
    maps: Maps,
    boxes: Boxes,
    threshold: ChosenThreshold,
    *,
    validation: tuple[Maps, Boxes] | None = None,
    bootstrap: Bootstrap | None = None,
) -> Localization:
    """Scores of ``maps`` (see ``max_box_accuracy``), thresholds of the box metrics chosen on ``validation``.

    Without it they are the given number where ``threshold.kind`` is "given", otherwise the best for these pictures,
    and the result says oracle.
    """
    given = threshold.value if threshold.kind == "given" and validation is None else None
    both = (
        max_box_accuracy(maps, boxes, validation=validation, threshold=given, protocol=V1),
        max_box_accuracy_v2(maps, boxes, validation=validation, threshold=given, protocol=V2),
    )
    read = read_maps("judge_localization", maps)
    objects = box_masks(boxes, read.shapes)
    rows = []
    for found, true in zip(threshold.foreground(maps).masks, objects, strict=True):
        rest = ~true
        rows.append([1 - found[true].mean(), found[rest].mean() if rest.any() else 0.0])
    missed, taken = (bootstrap or Bootstrap()).measure(np.array(rows), means)
    return Localization(threshold, both, missed, taken)
