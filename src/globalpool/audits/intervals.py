"""95 % intervals of means and of shares."""

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from globalpool.training.predictions import share

Interval = tuple[float, float]


def student(degrees: int) -> float:
    """The 97.5 % quantile of Student's t.

    With ``t = sqrt(degrees) tan(a)`` its density becomes ``cos(a)^(degrees - 1)``, which is summed on a fine grid.
    """
    angles = np.linspace(0.0, math.pi / 2, 200_001)
    mass = np.cumsum(np.cos((angles[1:] + angles[:-1]) / 2) ** (degrees - 1))
    angle = np.interp(0.95, np.concatenate([[0.0], mass / mass[-1]]), angles)
    return math.sqrt(degrees) * math.tan(float(angle))


def mean_interval(values: Tensor | Sequence[float]) -> tuple[float, Interval | None]:
    """The mean of numbers, one a sample, and its t-interval; None of fewer than two."""
    numbers = np.asarray(values.tolist() if isinstance(values, Tensor) else list(values), dtype=np.float64)
    mean = float(numbers.mean())
    if len(numbers) < 2:
        return mean, None
    half = student(len(numbers) - 1) * float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
    return mean, (mean - half, mean + half)


def share_interval(right: Tensor | Sequence[bool]) -> tuple[float, Interval]:
    """The share of True, and Wilson's interval (1927)."""
    found = share(right)
    return found.value, (found.low, found.high)
