"""Global pooling, done once: a pool says how much each position counts, so every logit is a map.

Names are loaded when first used: ``import globalpool`` costs nothing, and only what is used brings its packages.
Everything ``globalpool.pools`` offers is here too.
"""

import ast
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from globalpool import audits as audits
    from globalpool import blocks as blocks
    from globalpool import data as data
    from globalpool import errors as errors
    from globalpool import localize as localize
    from globalpool import models as models
    from globalpool import pools as pools
    from globalpool import report as report
    from globalpool import surgery as surgery
    from globalpool import training as training
    from globalpool.audits.run import audit as audit
    from globalpool.classifier import InputSpec as InputSpec
    from globalpool.classifier import PooledClassifier as PooledClassifier
    from globalpool.errors import GlobalPoolError as GlobalPoolError
    from globalpool.evidence import Evidence as Evidence
    from globalpool.head import PooledHead as PooledHead
    from globalpool.pools import *  # noqa: F403 (every pool, from the one list of their names)
    from globalpool.pools.contract import check_pool as check_pool
    from globalpool.report.explain import explain as explain
    from globalpool.surgery import adopt as adopt
    from globalpool.surgery import cost as cost
    from globalpool.surgery import fit_head as fit_head
    from globalpool.surgery import replace_head as replace_head

__version__ = "0.1.0"

#: The axes of a spectrogram ``(N, C, F, T)``, for ``dim=``.
TIME, FREQUENCY = -1, -2

_HOMES = {
    "audits.run": ("audit",),
    "classifier": ("InputSpec", "PooledClassifier"),
    "errors": ("GlobalPoolError",),
    "evidence": ("Evidence",),
    "head": ("PooledHead",),
    "pools.contract": ("check_pool",),
    "report.explain": ("explain",),
    "surgery": ("adopt", "cost", "fit_head", "replace_head"),
}
_ROOMS = ("audits", "blocks", "data", "errors", "localize", "models", "pools", "report", "surgery", "training")
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def _pool_names() -> list[str]:
    """The names ``globalpool.pools`` exports, read from its source: importing it would import torch."""
    spec = find_spec("globalpool.pools")
    assert spec is not None
    assert isinstance(spec.loader, InspectLoader)
    source = spec.loader.get_source("globalpool.pools")
    if source is None:  # a bundle of compiled files alone
        return list(import_module("globalpool.pools").__all__)
    (listed,) = (
        statement.value
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
    )
    return list(ast.literal_eval(listed))


_HOME |= {name: "pools" for name in _pool_names() if name != "ALL"}
#: What ``import *`` brings: names that need torch alone. ``dir`` lists the others too.
__all__: list[str] = sorted({"FREQUENCY", "TIME", *_HOME} - {"audit", "explain"})


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(import_module(f"globalpool.{_HOME[name]}"), name)
    elif name in _ROOMS:
        value = import_module(f"globalpool.{name}")
    else:
        raise AttributeError(f"module 'globalpool' has no attribute {name!r}; it has {', '.join(__dir__())}.")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_HOME, *_ROOMS, "__version__"})
