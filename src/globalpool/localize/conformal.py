"""A threshold with a guarantee: how much of an object the foreground misses, on average over pictures.

Conformal risk control (Angelopoulos, Bates, Fisch, Lei, Schuster, 2022; ICLR 2024): for ``n`` calibration pictures
exchangeable with those to come, and a loss in 0 .. 1 that grows with the threshold, the largest threshold with
``(n R(t) + 1) / (n + 1) <= alpha``, R being the mean loss over the calibration pictures, has an expected loss of at
most ``alpha`` on a new picture; where the loss has small steps, of at least ``alpha - 2 / (n + 1)``.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import LocalizationError
from globalpool.localize.heatmaps import Maps, read_maps
from globalpool.localize.levels import min_max
from globalpool.localize.pixels import Masks, read_masks

Array = NDArray[Any]
Scale = Literal["min-max", "raw"]


@dataclass(frozen=True)
class ConformalThreshold:
    """Foreground is ``map > value``, of maps in ``scale``: "min-max" (each to 0 .. 1) or "raw".

    On pictures exchangeable with the ``samples`` of the calibration the expected share of an object's pixels that are
    missed is at most ``alpha``. ``missed``: that share on the calibration pictures themselves. The promise is an
    average over calibrations and pictures, not for each picture, and says nothing about background taken in.
    """

    value: float
    alpha: float
    samples: int
    missed: float
    scale: Scale

    def __str__(self) -> str:
        return (
            f"threshold {self.value:.4g} ({self.scale} scale): at most {100 * self.alpha:g} % of an object is missed "
            f"in expectation (conformal risk control, {100 * self.missed:.2g} % on {self.samples} calibration pictures)"
        )


def calibrate(maps: Maps, masks: Masks, *, alpha: float = 0.1, scale: Scale = "min-max") -> ConformalThreshold:
    """The largest threshold whose missed share of objects is at most ``alpha`` in expectation; see the module.

    ``maps``: ``(N, *S)`` or a list of ``(*S)``; ``masks``: bool of the same shapes, True = object (of boxes:
    ``box_masks``), none without object. Needs ``(N + 1) alpha >= 1``. LocalizationError otherwise.
    """
    if not 0 < alpha < 1:
        raise LocalizationError("calibrate", "`alpha` between 0 and 1, the share that may be missed", f"{alpha}")
    read = scaled(read_maps("calibrate", maps).values, scale)
    objects = read_masks("calibrate", "masks", masks, [values.shape for values in read])
    samples = len(read)
    if (samples + 1) * alpha < 1:
        hint = "With fewer, no threshold can promise it: calibrate on more pictures or allow more to be missed."
        raise LocalizationError(
            "calibrate", f"{math.ceil(1 / alpha) - 1} pictures or more for alpha {alpha:g}", f"{samples}", hint
        )
    for sample, mask in enumerate(objects):
        if not mask.any():
            raise LocalizationError("calibrate", "an object in every mask", f"none for picture {sample}")
    inside = [np.sort(values[mask]) for values, mask in zip(read, objects, strict=True)]
    values = np.concatenate(inside)
    shares = np.concatenate([np.full(len(own), 1 / len(own)) for own in inside])
    order = np.argsort(values, kind="stable")
    values, lost = values[order], np.cumsum(shares[order])
    # A threshold just below the value v misses what lies below v: sum of the shares before its first place.
    first = np.flatnonzero(np.diff(values, prepend=-np.inf) > 0)
    missed = np.concatenate([[0.0], lost])[first]
    allowed = np.flatnonzero(missed <= (samples + 1) * alpha - 1)[-1]
    value = float(np.nextafter(values[first[allowed]], -np.inf))
    return ConformalThreshold(value, alpha, samples, float(missed[allowed] / samples), scale)


def scaled(maps: tuple[Array, ...], scale: Scale) -> list[Array]:
    """The maps in float64 and in ``scale``."""
    if scale not in ("min-max", "raw"):
        raise LocalizationError("calibrate", '`scale` "min-max" or "raw"', repr(scale))
    return [(min_max(values) if scale == "min-max" else values).astype(np.float64) for values in maps]
