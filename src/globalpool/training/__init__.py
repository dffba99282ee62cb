"""Training: one loop, its objectives, checkpoints and the folder a run leaves.

Names are loaded when first used, so that the settings alone cost nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from globalpool.training.architecture import Architecture as Architecture
    from globalpool.training.architecture import Call as Call
    from globalpool.training.batches import Batches as Batches
    from globalpool.training.history import Epoch as Epoch
    from globalpool.training.history import TrainingResult as TrainingResult
    from globalpool.training.loop import train as train
    from globalpool.training.metrics import Metrics as Metrics
    from globalpool.training.metrics import evaluate as evaluate
    from globalpool.training.objectives import BinaryCrossEntropy as BinaryCrossEntropy
    from globalpool.training.objectives import CrossEntropy as CrossEntropy
    from globalpool.training.objectives import Loss as Loss
    from globalpool.training.objectives import Objective as Objective
    from globalpool.training.predictions import Judged as Judged
    from globalpool.training.predictions import judge as judge
    from globalpool.training.run_folder import RunFolder as RunFolder
    from globalpool.training.saved import load_run as load_run
    from globalpool.training.settings import TrainingSettings as TrainingSettings

_HOMES = {
    "architecture": ("Architecture", "Call"),
    "batches": ("Batches",),
    "history": ("Epoch", "TrainingResult"),
    "loop": ("train",),
    "metrics": ("Metrics", "evaluate"),
    "objectives": ("BinaryCrossEntropy", "CrossEntropy", "Loss", "Objective"),
    "predictions": ("Judged", "judge"),
    "run_folder": ("RunFolder",),
    "saved": ("load_run",),
    "settings": ("TrainingSettings",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__: list[str] = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'globalpool.training' has no attribute {name!r}; it has {', '.join(__all__)}.")
    value = getattr(import_module(f"globalpool.training.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
