"""How a run's classifier is built: names and plain numbers, so that a folder can be loaded by itself."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from globalpool import models, pools
from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.errors import TrainingError
from globalpool.evidence import evaluating
from globalpool.extras import need

#: Trunks of this package, by name.
OWN: dict[str, Callable[..., PooledClassifier]] = {
    "convnet": models.convnet,
    "efficientnet_lite0": lambda: models.efficientnet_lite0(pretrained=False),
}


@dataclass(frozen=True)
class Call:
    """A name and the plain values it is called with, as in ``Grid(2, 2)``."""

    name: str
    arguments: tuple[Any, ...] = ()
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Architecture:
    """``trunk``: "convnet" with its widths, "efficientnet_lite0", or "timm:NAME"; ``pool``: a class of ``pools.ALL``.

    ``classes``: names, one a logit; ``multi_label``: logits are judged one by one.
    """

    trunk: Call
    pool: Call
    classes: tuple[str, ...]
    input: InputSpec
    multi_label: bool = False

    def build(self, seed: int = 0) -> PooledClassifier:
        """The classifier with random numbers that depend on ``seed`` alone, in train mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            trunk = self._trunk()
            with evaluating(trunk), torch.no_grad():
                features = trunk(torch.zeros(1, len(self.input.mean), self.input.size, self.input.size))
            if features.ndim != 4:
                hint = "Convolutional networks have one."
                got = f"{tuple(features.shape)}"
                raise TrainingError(self.trunk.name, "a trunk with a feature map (N, C, H, W)", got, hint)
            channels = features.shape[1]
            pool = self._pool(channels)
            tail = nn.Linear(pool.out_features(channels), len(self.classes))
            classifier = PooledClassifier(trunk, pool, tail, labels=self.classes, input_spec=self.input)
        return classifier.train()

    def _trunk(self) -> nn.Module:
        library, colon, name = self.trunk.name.rpartition(":")
        settings = dict(self.trunk.settings or {})
        if colon and library == "timm":
            create = need("timm", "images", "train").create_model
            trunk: nn.Module = create(name, pretrained=False, num_classes=0, global_pool="", **settings)
            width = getattr(trunk, "num_features", None)
            with evaluating(trunk), torch.no_grad():
                shape = trunk(torch.zeros(1, len(self.input.mean), self.input.size, self.input.size)).shape
            if len(shape) == 4 and shape[1] != width and shape[3] == width:
                got = f"{tuple(shape)}, channels last"
                raise TrainingError(self.trunk.name, "a trunk with a feature map (N, C, H, W)", got)
            return trunk
        if self.trunk.name == "convnet":
            settings = {"in_channels": len(self.input.mean), **settings}
            if self.trunk.arguments:
                settings["widths"] = self.trunk.arguments
            return models.convnet(2, **settings).trunk
        if self.trunk.name not in OWN:
            raise TrainingError("trunk", f"one of {', '.join(OWN)}, or timm:NAME", self.trunk.name)
        return OWN[self.trunk.name]().trunk

    def _pool(self, channels: int) -> pools.Pool:
        known = {pool.__name__: pool for pool in pools.ALL}
        if self.pool.name not in known:
            raise TrainingError("pool", "a pool of this version of globalpool", self.pool.name)
        pool, settings = known[self.pool.name], dict(self.pool.settings or {})
        if "channels" in inspect.signature(pool).parameters:
            settings.setdefault("channels", channels)
        return pool(*self.pool.arguments, **settings)

    def record(self) -> dict[str, Any]:
        """What JSON can hold, for ``read``."""
        return asdict(self)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Architecture":
        """The inverse of ``record``."""
        trunk, pool = (
            Call(str(one["name"]), _tuples(one["arguments"]), one["settings"])
            for one in (record["trunk"], record["pool"])
        )
        spec = record["input"]
        known = InputSpec(int(spec["size"]), _tuples(spec["mean"]), _tuples(spec["std"]))
        return cls(trunk, pool, _tuples(record["classes"]), known, bool(record["multi_label"]))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
