"""How a run's classifier is built: names and plain numbers, so that a folder can be loaded by itself."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import nn

from globalpool import models, pools
from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.data.kinds import InputKind, read_inputs
from globalpool.data.pictures import as_kind
from globalpool.errors import LayoutError, TrainingError
from globalpool.evidence import evaluating
from globalpool.layout import Features
from globalpool.layout.arrange import spatial_axes
from globalpool.models.from_timm import timm_trunk
from globalpool.models.spectrogram import bandwise, framewise
from globalpool.models.windowed import WindowedClassifier


def _convnet(channels: int, dims: Literal[1, 2, 3], *widths: int, **settings: Any) -> nn.Module:
    if dims not in (1, 2, 3):
        raise TrainingError("trunk", "gin or gcn for graphs", "convnet")
    if widths:
        settings["widths"] = widths
    return models.convnet(dims, channels, **settings).trunk


def _apart(make: Callable[..., PooledClassifier], name: str) -> Callable[..., nn.Module]:
    """The trunk of a network that keeps frequency and time apart."""

    def trunk(channels: int, dims: int, *widths: int, **settings: Any) -> nn.Module:
        if dims != 2:
            raise TrainingError(name, "inputs (N, C, F, T), as recordings give them", f"inputs of {dims} axes")
        return make(channels, widths=widths or (32, 64, 128), **settings).trunk

    return trunk


def _graph_trunk(make: Callable[..., PooledClassifier]) -> Callable[..., nn.Module]:
    def trunk(channels: int, dims: int, *widths: int, **settings: Any) -> nn.Module:
        if dims:
            raise TrainingError("trunk", "a trunk for these inputs, such as convnet", f"{make.__name__}, for graphs")
        return make(channels, **({"widths": widths} if widths else {}), **settings).trunk

    return trunk


def _resnet3d(channels: int, dims: int, *widths: int, **settings: Any) -> nn.Module:
    if dims != 3:
        raise TrainingError("resnet3d", "volumes", f"inputs with {dims} axes", "Take convnet.")
    if widths:
        settings["widths"] = widths
    return models.resnet3d(channels, **settings).trunk


#: Trunks of this package, by name.
OWN: dict[str, Callable[[], nn.Module]] = {
    "efficientnet_lite0": lambda: models.efficientnet_lite0(pretrained=False).trunk,
}
#: Trunks made for an input, by name: called with its channels and spatial axes (0: graphs), widths and settings.
MADE: dict[str, Callable[..., nn.Module]] = {
    "convnet": _convnet,
    "framewise": _apart(framewise, "framewise"),
    "bandwise": _apart(bandwise, "bandwise"),
    "gcn": _graph_trunk(models.gcn),
    "gin": _graph_trunk(models.gin),
    "resnet3d": _resnet3d,
}


@dataclass(frozen=True)
class Call:
    """A name and the plain values it is called with, as in ``Grid(2, 2)``."""

    name: str
    arguments: tuple[Any, ...] = ()
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Architecture:
    """``trunk``: a name of ``MADE`` or ``OWN`` with its widths, or "timm:NAME"; ``pool``: a class of ``pools.ALL``.

    ``classes``: names, one a logit; ``input``: of pictures an ``InputSpec``; ``multi_label``: logits are judged one by
    one.
    """

    trunk: Call
    pool: Call
    classes: tuple[str, ...]
    input: InputSpec | InputKind
    multi_label: bool = False

    def build(self, seed: int = 0) -> PooledClassifier:
        """The classifier with random numbers that depend on ``seed`` alone, in train mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            trunk = self._trunk()
            found = self._features(trunk)
            channels, *lengths = found.values.shape[1:]
            pool = self._pool(channels)
            self._try(pool, found)
            tail = nn.Linear(pool.out_features(channels, self._kept(pool, lengths)), len(self.classes))
            own: dict[str, Any] = {"labels": self.classes, "input_spec": self.input}
            length = self.inputs.kept_length
            if length is None:
                classifier = PooledClassifier(trunk, pool, tail, **own)
            else:
                classifier = WindowedClassifier(trunk, pool, tail, length, **own)
        return classifier.train()

    @property
    def inputs(self) -> InputKind:
        """How inputs are made from files; of pictures at their own size."""
        return as_kind(self.input)

    def _features(self, trunk: nn.Module) -> Features:
        """Of a batch of nothing."""
        with evaluating(trunk), torch.no_grad():
            found = trunk(*self.inputs.stand_in())
        if isinstance(found, Features):
            return found
        if found.ndim != 2 + self.inputs.dims:
            hint = "Convolutional networks have one."
            axes = ", ".join("DHW"[3 - self.inputs.dims :])
            got = f"{tuple(found.shape)}"
            raise TrainingError(self.trunk.name, f"a trunk with a feature map (N, C, {axes})", got, hint)
        return Features(found, {})

    def _try(self, pool: pools.Pool, found: Features) -> None:
        """The pool's own error before a run begins; TrainingError for one of positions on a grid beside graphs."""
        try:
            with evaluating(pool), torch.no_grad():
                pool(found.values, **found.layout)
        except LayoutError as error:
            if self.inputs.dims:
                raise
            hint = "Nodes lie on no grid: Mean, Max, Sum or Attention take them."
            raise TrainingError("pool", "a pool of nodes, for graphs", self.pool.name, hint) from error

    def _kept(self, pool: pools.Pool, lengths: list[int]) -> list[int]:
        """Lengths of the axes that the pool keeps; TrainingError where inputs differ along one."""
        if pool.dim is None:
            return []
        reduced = spatial_axes(pool.name, pool.dim, len(lengths))
        fixed = {*self.inputs.fixed, *([] if self.inputs.kept_length is None else [len(lengths) - 1])}
        kept = [axis for axis in range(len(lengths)) if axis not in reduced]
        if not fixed.issuperset(kept):
            hint = "For recordings, --inputs frames=100 gives time a length; longer ones run as windows of it."
            raise TrainingError(pool.name, "kept axes of one length in all inputs", f"dim={pool.dim}", hint)
        return [lengths[axis] for axis in kept]

    def _trunk(self) -> nn.Module:
        library, colon, name = self.trunk.name.rpartition(":")
        settings = dict(self.trunk.settings or {})
        if not isinstance(self.input, InputSpec) and self.trunk.name not in MADE:
            got = self.trunk.name
            raise TrainingError("trunk", f"one of {', '.join(MADE)} for {self.input.word}s", got)
        if colon and library == "timm":
            assert isinstance(self.input, InputSpec), "pictures alone come here"
            example = torch.zeros(1, len(self.input.mean), self.input.size, self.input.size)
            return timm_trunk(name, example, **settings)
        if self.trunk.name in MADE:
            make = MADE[self.trunk.name]
            return make(self.inputs.channels, self.inputs.dims, *self.trunk.arguments, **settings)
        if self.trunk.name not in OWN:
            names = ", ".join((*MADE, *OWN))
            raise TrainingError("trunk", f"one of {names}, or timm:NAME", self.trunk.name)
        return OWN[self.trunk.name]()

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
        return {
            **asdict(self),
            "input": asdict(self.input) if isinstance(self.input, InputSpec) else self.input.record(),
        }

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Architecture":
        """The inverse of ``record``."""
        trunk, pool = (
            Call(str(one["name"]), _tuples(one["arguments"]), one["settings"])
            for one in (record["trunk"], record["pool"])
        )
        spec = record["input"]
        known: InputSpec | InputKind
        if "kind" in spec:
            known = read_inputs(spec)
        else:
            known = InputSpec(int(spec["size"]), _tuples(spec["mean"]), _tuples(spec["std"]))
        return cls(trunk, pool, _tuples(record["classes"]), known, bool(record["multi_label"]))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
