"""What one kind of file is: how it is found, read and made into a classifier's inputs."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from globalpool.data.examples import Examples
from globalpool.data.facts import Facts
from globalpool.data.find import Found, find_files, has_suffix
from globalpool.data.images import SUFFIXES
from globalpool.errors import DataError
from globalpool.layout import Padded

#: Where the kinds beside pictures are: their module and class, imported when one is asked for.
KINDS: dict[str, tuple[str, str]] = {
    "graphs": ("globalpool.data.graphs", "Graphs"),
    "signals": ("globalpool.data.signals", "Signals"),
    "audio": ("globalpool.data.recordings", "Recordings"),
    "volumes": ("globalpool.data.volumes", "Volumes"),
}


@dataclass(frozen=True)
class InputKind(ABC):
    """How files of one kind become inputs; the fields of a subclass are plain values, kept in a run's config.

    An item is what ``read`` gives, with ``path`` and ``notes``; an input is one prepared sample; a part is what the
    trunk is called with: a tensor, ``Padded`` samples, a batch of graphs.
    """

    #: Name of the kind, its word for one sample, the extra with its packages, and the trunk taken by default.
    kind: ClassVar[str]
    word: ClassVar[str]
    extra: ClassVar[str]
    trunk: ClassVar[str] = "convnet"
    #: Spatial axes of an input; 0 for graphs.
    dims: ClassVar[int]
    suffixes: ClassVar[frozenset[str]]
    #: Spatial axes along which all inputs are equally long, so that a pool may keep them.
    fixed: ClassVar[tuple[int, ...]] = ()

    @property
    @abstractmethod
    def channels(self) -> int:
        """Of the trunk's input."""

    @property
    def kept_length(self) -> int | None:
        """Length of the last axis where a pool keeps it: longer inputs run as windows of it. None: they are not cut."""
        return None

    @classmethod
    @abstractmethod
    def facts(cls, path: Path) -> Facts:
        """Size and content of one file, decoded once; DataError says why it cannot be read."""

    @classmethod
    @abstractmethod
    def planned(cls, files: Sequence[Path], settings: Mapping[str, str]) -> Self:
        """The settings for a training set, from its files and from what the user said (``name=value``)."""

    @abstractmethod
    def read(self, path: Path) -> Any:
        """The item of one file; DataError says why it cannot be read."""

    @abstractmethod
    def prepare(self, item: Any) -> Any:
        """The input of one item, without a batch axis."""

    @abstractmethod
    def stand_in(self) -> tuple[Any, ...]:
        """Parts of a small batch of nothing, by which a trunk's width is learned."""

    def augmented(self, sample: Any) -> Any:
        """An input as training sees it, random by torch's global CPU generator alone; by default as it is."""
        return sample

    def collate(self, samples: Sequence[Any]) -> tuple[Any, ...]:
        """The parts of a batch; samples are numbered through the parts in their order."""
        return (Padded.of(list(samples)),)

    def size(self, sample: Any) -> tuple[int, ...]:
        """The lengths of an input; of graphs their nodes."""
        return tuple(sample.shape[1:])

    @classmethod
    def find(cls, paths: Iterable[str | Path]) -> Found:
        """The samples at and below some paths: by default the files with a suffix of this kind."""
        return find_files(paths, cls.suffixes)

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Whether this kind alone reads ``path``, without regard to the suffixes of files."""
        return False

    @classmethod
    def read_examples(cls, path: str | Path) -> Examples | None:
        """Labelled samples of a source only this kind knows; None for class folders and tables of paths."""
        return None

    def record(self) -> dict[str, Any]:
        """What JSON can hold, for ``read_inputs``."""
        return {"kind": self.kind, **asdict(self)}


def kind_named(name: str) -> type[InputKind]:
    """The class of a kind; DataError for an unknown name."""
    if name not in KINDS:
        raise DataError("kind", f"one of {', '.join(('pictures', *KINDS))}", name)
    module, attribute = KINDS[name]
    found: type[InputKind] = getattr(import_module(module), attribute)
    return found


def read_inputs(record: Mapping[str, Any]) -> InputKind:
    """The inverse of ``InputKind.record``."""
    cls = kind_named(str(record["kind"]))
    return cls(**{field.name: _tuples(record[field.name]) for field in fields(cls) if field.name in record})


def kind_of(path: str | Path) -> type[InputKind] | None:
    """The kind of most files below a folder, by their suffixes; None for pictures, and where nothing is known.

    A table is looked at by the suffixes in its first column that has any; a kind that reads the whole file by itself
    comes first. Arrays (.npy) of more than two axes are volumes, others signals.
    """
    path = Path(path)
    known = {name: kind_named(name) for name in KINDS}
    for cls in known.values():
        if cls.claims(path):
            return cls
    if path.is_dir():
        names = [str(file.absolute()) for file in find_files([path], None).files]
    elif path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".txt"):
        text = path.read_bytes()[:1_000_000].decode("utf-8", errors="replace")
        names = [cell.strip() for line in text.splitlines()[1:] for cell in line.replace(";", ",").split(",")]
    else:
        names = [path.name]
    counts: Counter[str] = Counter()
    for name in names:
        counts["pictures"] += has_suffix(name, SUFFIXES)
        counts.update(kind for kind, cls in known.items() if has_suffix(name, cls.suffixes))
    if not counts.total():
        return None
    best = max(counts, key=lambda kind: (counts[kind], kind == "pictures"))
    if best == "signals" and counts["volumes"] == counts["signals"]:
        first = next(name for name in names if has_suffix(name, (".npy",)))
        return known["volumes" if _axes(path.parent / first) > 2 else "signals"]
    return None if best == "pictures" else known[best]


def _axes(path: Path) -> int:
    """How many axes an array file has, by its header; 0 where it cannot be read."""
    try:
        return int(np.load(path, mmap_mode="r", allow_pickle=False).ndim)
    except (OSError, ValueError, EOFError):
        return 0


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
