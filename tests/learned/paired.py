"""Paired differences over seeds and their interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

SEEDS = range(5)


@dataclass(frozen=True)
class Interval:
    """Mean of paired differences and their 95 % t-interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def paired(method: Sequence[float], control: Sequence[float]) -> Interval:
    """``method - control``, seed by seed; equal differences have an interval of length 0."""
    difference = np.subtract(method, control)
    half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
    return Interval(float(difference.mean()), float(difference.mean() - half), float(difference.mean() + half))
