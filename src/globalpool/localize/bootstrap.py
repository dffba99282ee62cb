"""Intervals by drawing the pictures again (Efron, Tibshirani, An introduction to the bootstrap, 1993, chapter 13)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import LocalizationError

Array = NDArray[Any]
#: Numbers drawn at a time.
CHUNK = 4_000_000


@dataclass(frozen=True)
class Measured:
    """A number and the interval that ``confidence`` of the resamples fall into."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: ``resamples`` times N pictures with replacement, by ``seed``; at ``confidence``.

    The same draws serve every statistic, so that differences are paired by picture.
    """

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 100 or not 0 < self.confidence < 1:
            got = f"{self.resamples} at {self.confidence}"
            raise LocalizationError("Bootstrap", "at least 100 resamples and a confidence between 0 and 1", got)

    def measure(self, columns: Array, statistic: Callable[[Array], Array]) -> list[Measured]:
        """``statistic`` of the pictures' mean, with intervals.

        ``columns (N, K)``: numbers of each picture. ``statistic``: means ``(B, K)`` -> ``(B, M)``, row by row.
        """
        values = statistic(columns.mean(0, keepdims=True))[0]
        return self.around(values, self.draws(columns, statistic))

    def draws(self, columns: Array, statistic: Callable[[Array], Array], stream: int = 0) -> Array:
        """``statistic`` of each resample ``(resamples, M)``; ``stream``: another one for each part drawn by itself."""
        samples = len(columns)
        random = np.random.default_rng((self.seed, stream) if stream else self.seed)
        drawn, left, chunk = [], self.resamples, max(1, CHUNK // (samples + columns.shape[1]))
        while left:
            now = min(chunk, left)
            counts = random.multinomial(samples, np.full(samples, 1 / samples), size=now)
            drawn.append(statistic(counts @ columns / samples))
            left -= now
        return np.concatenate(drawn)

    def around(self, values: Array, drawn: Array) -> list[Measured]:
        """``values (M,)`` with the intervals of ``drawn (resamples, M)``."""
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
        return [Measured(float(v), float(a), float(b)) for v, a, b in zip(values, low, high, strict=True)]


def means(columns: Array) -> Array:
    """The statistic that is the mean itself."""
    return columns
