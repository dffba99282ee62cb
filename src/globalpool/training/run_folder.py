"""The folder of a run: what was asked, in what environment, the curve, and weights that survive any interruption."""

import csv
import io
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from globalpool.errors import DataError, TrainingError
from globalpool.training.files import PART, read_tensors, remove_parts, write_tensors, write_whole
from globalpool.training.history import Epoch, best
from globalpool.training.lock import locked
from globalpool.training.packed import Tree

if TYPE_CHECKING:
    from globalpool.training.learner import Learner

FORMAT = "globalpool run 1"
CONFIG, ENVIRONMENT, SPLIT, METRICS = "config.json", "environment.json", "split.json", "metrics.csv"
BEST, LAST, CHECKPOINTS = "best.safetensors", "last.safetensors", "checkpoints"
LOCK, TENSORBOARD = "lock", "tensorboard"
#: Checkpoints kept: the one before the newest is there for the day the newest is damaged.
KEPT = 2


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state after the last of ``epochs``; ``best``: weights of the best of them."""

    state: dict[str, Tensor]
    rest: Tree
    epochs: tuple[Epoch, ...]
    best: dict[str, Tensor]
    seconds: float


class RunFolder:
    """``path`` with config.json, environment.json, split.json, metrics.csv, best and last weights, checkpoints/.

    ``warnings``: sentences about damaged checkpoints that were passed over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warnings: list[str] = []

    @classmethod
    def create(
        cls, path: str | Path, config: Mapping[str, Any], split: Callable[[Path], None] | None = None
    ) -> "RunFolder":
        """A new folder; TrainingError where there is something: no run is ever overwritten.

        What a start left that was killed before its config.json is begun again. ``config``: what JSON can hold;
        ``split``: writes split.json, given its path.
        """
        path = Path(path)
        cls.check_new(path)
        (path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        run = cls(path)
        with run.alone():
            cls.check_new(path)  # somebody else may have been quicker
            remove_parts(path)
            (path / SPLIT).unlink(missing_ok=True)
            _write_json(path / ENVIRONMENT, environment())
            if split is not None:
                split(path / SPLIT)
            _write_json(path / CONFIG, {"format": FORMAT, **config})  # last: a folder with it is a run
        return run

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else works in the run meanwhile; TrainingError where somebody does."""
        with locked(self.path / CHECKPOINTS / LOCK, self.path) as able:
            if not able:
                self.warnings.append("This file system has no locks: do not resume the run twice at once.")
            yield

    @staticmethod
    def check_new(path: Path) -> None:
        """TrainingError where ``create`` would refuse; a question that can be asked before any work."""
        if path.exists() and not _cut_short(path) and (not path.is_dir() or any(path.iterdir())):
            got = (
                "a file" if not path.is_dir() else "an earlier run" if (path / CONFIG).exists() else "other files there"
            )
            hint = f"Continue it by globalpool resume {path}." if got == "an earlier run" else "Choose another --out."
            raise TrainingError(str(path), "a new or empty folder", got, hint)

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """An earlier run's folder; TrainingError where it is none."""
        run = cls(Path(path))
        run.config()
        return run

    def config(self) -> dict[str, Any]:
        """What the run was asked for."""
        file = self.path / CONFIG
        if not file.is_file():
            got = "no such folder" if not self.path.is_dir() else f"no {CONFIG} in it"
            hint = "Check the path."
            if _cut_short(self.path):
                got = f"a start that was cut short, without {CONFIG}"
                hint = f"Start it again, by globalpool train with --out {self.path}."
            raise TrainingError(str(self.path), "a folder that globalpool train wrote", got, hint)
        try:
            config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if config["format"] != FORMAT:
                raise ValueError(f"the format {config['format']!r}")
        except (ValueError, KeyError, TypeError) as error:
            got = f"{type(error).__name__}: {error}"
            raise TrainingError(str(file), f"the settings of a run, {FORMAT!r}", got) from error
        return config

    def save(self, learner: "Learner", epochs: Sequence[Epoch], kept: Mapping[str, Tensor], seconds: float) -> None:
        """Keep the state after the last of ``epochs``: the checkpoint first, then what can be written again from it."""
        tensors, rest = learner.state()
        named = {f"state/{name}": tensor for name, tensor in tensors.items()}
        named |= {f"best/{name}": tensor for name, tensor in kept.items()}
        facts = {"format": FORMAT, "rest": rest, "epochs": [astuple(entry) for entry in epochs], "seconds": seconds}
        write_tensors(self._checkpoint(len(epochs)), named, facts)
        self.put_right(epochs, learner.judged.state_dict(), kept)
        for old in self._checkpoints()[:-KEPT]:
            old.unlink(missing_ok=True)

    def put_right(self, epochs: Sequence[Epoch], last: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
        """Write the curve and both files of weights, ``last`` and the best, ``kept``; remove what was cut short."""
        remove_parts(self.path)
        remove_parts(self.path / CHECKPOINTS)
        write_tensors(self.path / LAST, last, {"format": FORMAT, "epoch": len(epochs)})
        write_tensors(self.path / BEST, kept, {"format": FORMAT, "epoch": best(epochs)})
        self._write_metrics(epochs)

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint, None before the first; TrainingError where there are some and none is whole."""
        files = self._checkpoints()
        for file in reversed(files):
            try:
                stored = read_tensors(file)
                if stored.facts["format"] != FORMAT:
                    raise DataError(str(file), f"a checkpoint, {FORMAT!r}", f"the format {stored.facts['format']!r}")
            except DataError as error:
                self.warnings.append(f"{error} The checkpoint before it is taken.")
                continue
            parts: dict[str, dict[str, Tensor]] = {"state": {}, "best": {}}
            for name, tensor in stored.tensors.items():
                part, _, rest = name.partition("/")
                parts[part][rest] = tensor
            epochs = tuple(Epoch(*entry) for entry in stored.facts["epochs"])
            return Checkpoint(
                parts["state"], stored.facts["rest"], epochs, parts["best"], float(stored.facts["seconds"])
            )
        if files:
            got = "; ".join(warning.split(" The checkpoint")[0] for warning in self.warnings)
            raise TrainingError(str(self.path), "a whole checkpoint", got, "Train again into another folder.")
        return None

    def epochs(self) -> tuple[Epoch, ...]:
        """The curve, from metrics.csv."""
        with open(self.path / METRICS, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        return tuple(Epoch(int(entry[0]), int(entry[1]), *map(float, entry[2:])) for entry in rows)

    def _write_metrics(self, epochs: Sequence[Epoch]) -> None:
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(field.name for field in fields(Epoch))
        table.writerows(asdict(entry).values() for entry in epochs)
        write_whole(self.path / METRICS, text.getvalue().encode())

    def _checkpoint(self, number: int) -> Path:
        return self.path / CHECKPOINTS / f"{number:06d}.safetensors"

    def _checkpoints(self) -> list[Path]:
        return sorted((self.path / CHECKPOINTS).glob("[0-9]*.safetensors"))


def environment() -> dict[str, Any]:
    """Versions, threads and device: what a number may depend on. No path and no name of the machine."""
    packages = {"python": platform.python_version()}
    for name in ("globalpool", "torch", "numpy", "timm", "torchvision", "pillow", "safetensors"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    cuda = torch.cuda.is_available()
    return {
        "versions": packages,
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def _cut_short(path: Path) -> bool:
    """Whether it holds what ``create`` writes before config.json, and nothing else."""
    if not (path / CHECKPOINTS).is_dir() or any(entry.name != LOCK for entry in (path / CHECKPOINTS).iterdir()):
        return False
    rest = {entry.name for entry in path.iterdir()} - {CHECKPOINTS, ENVIRONMENT, SPLIT}
    return all(name.startswith(".") and name.endswith(PART) for name in rest)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_whole(path, (json.dumps(content, indent=2, ensure_ascii=True) + "\n").encode())
