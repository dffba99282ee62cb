"""Global pooling, done once: a pool says how much each position counts, so every logit is a map.

Names are loaded when first used: ``import globalpool`` costs nothing, and only what is used brings its packages.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from globalpool import data, errors, models, pools, report
    from globalpool.classifier import InputSpec, PooledClassifier
    from globalpool.errors import GlobalPoolError
    from globalpool.evidence import Evidence
    from globalpool.head import PooledHead
    from globalpool.pools import (
        Attention,
        GeM,
        Grid,
        Learned,
        LogMeanExp,
        Max,
        Mean,
        Pool,
        PositionGrid,
        ScaledSum,
        Sum,
    )
    from globalpool.pools.contract import check_pool
    from globalpool.report.explain import explain

__version__ = "0.1.0"

#: The axes of a spectrogram ``(N, C, F, T)``, for ``dim=``.
TIME, FREQUENCY = -1, -2

_HOMES = {
    "classifier": ("InputSpec", "PooledClassifier"),
    "errors": ("GlobalPoolError",),
    "evidence": ("Evidence",),
    "head": ("PooledHead",),
    "pools": (
        "Attention",
        "GeM",
        "Grid",
        "Learned",
        "LogMeanExp",
        "Max",
        "Mean",
        "Pool",
        "PositionGrid",
        "ScaledSum",
        "Sum",
    ),
    "pools.contract": ("check_pool",),
    "report.explain": ("explain",),
}
_ROOMS = ("data", "errors", "models", "pools", "report")
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "FREQUENCY",
    "TIME",
    "Attention",
    "Evidence",
    "GeM",
    "GlobalPoolError",
    "Grid",
    "InputSpec",
    "Learned",
    "LogMeanExp",
    "Max",
    "Mean",
    "Pool",
    "PooledClassifier",
    "PooledHead",
    "PositionGrid",
    "ScaledSum",
    "Sum",
    "check_pool",
    "data",
    "errors",
    "explain",
    "models",
    "pools",
    "report",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(import_module(f"globalpool.{_HOME[name]}"), name)
    elif name in _ROOMS:
        value = import_module(f"globalpool.{name}")
    else:
        raise AttributeError(f"module 'globalpool' has no attribute {name!r}; it has {', '.join(__all__)}.")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
