"""How the strength is chosen: the arguments of ``fit_head`` as one rule and its candidates."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from globalpool.errors import DataError, PoolError
from globalpool.surgery.batches import Loader
from globalpool.surgery.head_fit import Method
from globalpool.surgery.statistics import HeadStatistics

Rule = Literal["loo", "gcv", "validation"]


@dataclass(frozen=True)
class Choice:
    """``rule`` None: one strength. ``strengths`` None: none is given, the statistics tell."""

    rule: Rule | None
    strengths: tuple[float, ...] | None

    def candidates(self, statistics: HeadStatistics, powers: Sequence[float]) -> tuple[float, ...]:
        """The strengths to try, ascending; if not given, these powers of ten times the scatter's mean eigenvalue.

        Relative, so that features in other units get the same solutions.
        """
        if self.strengths is not None:
            return self.strengths
        scale = float(statistics.scatter.trace()) / statistics.scatter.shape[0]
        if not scale > 0:
            raise DataError("fit_head", "pooled vectors that differ between samples", "the same one for all")
        return tuple(scale * 10.0**power for power in powers)


def choice(
    data: Loader | HeadStatistics,
    method: Method,
    strength: float | Rule | None,
    strengths: Sequence[float] | None,
    validation: Loader | None,
) -> Choice:
    """The rule these arguments of ``fit_head`` ask for; raises PoolError where they contradict each other."""
    if method not in get_args(Method):
        raise PoolError("fit_head", '`method` to be "ridge" or "logistic"', repr(method))
    if method == "logistic" and isinstance(data, HeadStatistics):
        hint = "The logistic loss is no function of these statistics; give the samples."
        raise PoolError("fit_head", "a loader for logistic regression", "HeadStatistics", hint)
    if strength is None:
        strength = _default(data, method, validation)
    if isinstance(strength, str):
        rules = get_args(Rule) if method == "ridge" else ("validation",)
        if strength not in rules:
            raise PoolError("fit_head", f"`strength` for {method} as a number or one of {rules}", repr(strength))
        _check_readable(data, strength)
    elif strength is not None:
        _check_number(method, strength)
    if (strength == "validation") != (validation is not None):
        got = "one without the other"
        raise PoolError("fit_head", '`strength="validation"` together with a `validation` loader', got)
    if isinstance(strength, str):
        return Choice(strength, None if strengths is None else _ascending(strengths))
    if strengths is not None:
        hint = 'Leave `strengths` out, or write strength="loo" (ridge), or give a `validation` loader.'
        raise PoolError("fit_head", "a rule to choose from `strengths` by", f"`strength` {strength}", hint)
    return Choice(None, None if strength is None else (float(strength),))


def _default(data: Loader | HeadStatistics, method: Method, validation: Loader | None) -> Rule | None:
    if validation is not None:
        return "validation"
    if method == "logistic":
        return None
    return "gcv" if isinstance(data, HeadStatistics) else "loo"


def _check_readable(data: Loader | HeadStatistics, rule: str) -> None:
    if rule == "loo" and isinstance(data, HeadStatistics | Iterator):
        got = "statistics alone" if isinstance(data, HeadStatistics) else "an iterator, which can be read once"
        hint = 'Give a DataLoader or a list of batches, or choose by strength="gcv", which reads once.'
        raise PoolError("fit_head", "a loader that can be read twice, for leave-one-out", got, hint)


def _check_number(method: Method, strength: float) -> None:
    number = isinstance(strength, int | float) and math.isfinite(strength)
    if not number or strength < 0 or (strength == 0 and method == "logistic"):
        least = "from 0" if method == "ridge" else "above 0"
        raise PoolError("fit_head", f"`strength` for {method} as a finite number {least}", repr(strength))


def _ascending(strengths: Sequence[float]) -> tuple[float, ...]:
    given = tuple(sorted(float(strength) for strength in strengths))
    if not given or not all(0 < strength < math.inf for strength in given):
        raise PoolError("fit_head", "`strengths` as positive finite numbers", repr(tuple(strengths)))
    return given
