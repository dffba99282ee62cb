"""MUTAG: readouts of one GIN trunk, and PyTorch Geometric's GIN, on the same folds in the same loop.

    python benchmarks/learned/mutag.py FOLDER [--seeds 0 1 2] [--quick]

FOLDER holds MUTAG.txt (188 molecules, 2 classes, 125 in the larger). Ten stratified folds in which graphs that message
passing cannot tell apart never part. Of the other nine folds a fifth is the inner validation part: it alone chooses the
epoch, and between readouts (least NLL). All networks: three layers of width 32 with batch norm, features of all layers
side by side, AdamW 0.01 with cosine, 50 epochs of pieces of 68 graphs. Theirs: torch_geometric.nn.models.GIN(norm
"batch_norm", jk "cat"), global_add_pool, linear. Ours: globalpool.models.gin with the readout that validation chose
among mean, sum, max, attention and learned clusters (4, by MinCut's losses; sum within, mean and maximum over them).
Control, chosen by nothing: the same pool of clusters with random numbers. Expected, and fixed before any run of seeds 0
to 2: the interval of ours - theirs is not below 0 as a whole; learned clusters are not expected to beat random ones.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from graph_loop import Extra, Parts, Trial, WithClusters, cut_losses, fit
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit
from study import RESULTS, Row, interval
from torch import Tensor, nn
from torch_geometric.nn import global_add_pool
from torch_geometric.nn.models import GIN

import globalpool as gp
from globalpool.data.graphs import Graphs, labelled_graphs

WIDTHS, CLUSTERS, FOLDS, EPOCHS, RATE, SIZE = (32, 32, 32), 4, 10, 50, 1e-2, 68
CHANNELS = sum(WIDTHS)
ROWS = RESULTS / "learned_mutag.jsonl"
CHOSEN_FROM = ("mean", "sum", "max", "attention", "learned clusters")


class Theirs(nn.Module):
    """PyTorch Geometric's network with its sum readout."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.trunk = GIN(channels, WIDTHS[0], len(WIDTHS), norm="batch_norm", jk="cat")
        self.tail = nn.Linear(WIDTHS[0], 2)

    def forward(self, batch: Any) -> Tensor:
        """Logits ``(N, 2)``."""
        rows = self.trunk(batch.x, batch.edge_index)
        logits: Tensor = self.tail(global_add_pool(rows, batch.batch, batch.num_graphs))
        return logits


def outer() -> gp.Pool:
    return gp.Concat(gp.Mean(), gp.Max())


POOLS: dict[str, Callable[[], gp.Pool]] = {
    "mean": gp.Mean,
    "sum": gp.Sum,
    "max": gp.Max,
    "attention": lambda: gp.Attention(CHANNELS),
    "learned clusters": lambda: gp.LearnedClusters(CHANNELS, CLUSTERS, gp.Sum(), outer()),
    "random clusters": lambda: gp.Clusters(gp.Sum(), outer(), count=CLUSTERS),
}


def trial(name: str, parts: Parts, channels: int, seed: int, epochs: int) -> Trial:
    torch.manual_seed(seed)
    extra: Extra | None = None
    if name == "PyTorch Geometric":
        network: nn.Module = Theirs(channels)
    else:
        network = gp.models.gin(channels, 2, WIDTHS, POOLS[name]())
    if name == "learned clusters":
        extra = cut_losses(0.1)
    if name == "random clusters":
        assert isinstance(network, gp.PooledClassifier)
        network = WithClusters(network)
    return fit(network, parts, epochs, RATE, seed, extra)


def loaded(folder: Path) -> tuple[list[Any], list[int], list[str], int]:
    data = labelled_graphs([(folder / "MUTAG.txt", None)])
    inputs = Graphs.planned([example.path for example in data.examples], {})
    random, graphs = torch.Generator().manual_seed(0), []
    for example in data.examples:
        graph = inputs.prepare(inputs.read(example.path))
        graph.y = torch.tensor([example.labels[0]])
        graph.cluster = torch.randint(0, CLUSTERS, (graph.num_nodes,), generator=random)
        graphs.append(graph)
    labels = [example.labels[0] for example in data.examples]
    return graphs, labels, [str(example.group) for example in data.examples], inputs.channels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="two folds, few epochs, nothing written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    graphs, labels, groups, channels = loaded(options.folder)
    names = ("PyTorch Geometric", *POOLS)
    done = read_rows(options.quick)
    for seed in options.seeds[:1] if options.quick else options.seeds:
        splits = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(graphs, labels, groups)
        for fold, (rest, test) in enumerate(splits):
            if (seed, fold) in done or (options.quick and fold > 1):
                continue
            inner = StratifiedShuffleSplit(1, test_size=0.2, random_state=seed)
            ((rows, held),) = inner.split(rest, np.array(labels)[rest])
            parts = Parts.of(graphs, rest[rows], rest[held], test, SIZE, seed)
            epochs = 3 if options.quick else EPOCHS
            trials = {name: trial(name, parts, channels, 100 * seed + fold, epochs) for name in names}
            best = min(CHOSEN_FROM, key=lambda name: trials[name].nll)
            trials["ours"] = trials[best]
            scores = {name: round(float(own.right.mean()), 5) for name, own in trials.items()}
            row = done[seed, fold] = {"seed": seed, "fold": fold, "chosen": best, **scores}
            print(json.dumps(row), flush=True)
            if not options.quick:
                with ROWS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    write([done[key] for key in sorted(done)], options.quick)


def read_rows(quick: bool) -> dict[tuple[int, int], Row]:
    """Folds that are there already are not trained again."""
    if quick or not ROWS.exists():
        return {}
    rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
    return {(row["seed"], row["fold"]): row for row in rows}


def write(rows: list[Row], quick: bool) -> None:
    """Accuracy of a fold averaged over seeds is one number; ten folds give mean, deviation and paired interval."""
    if not quick and len(rows) % FOLDS:
        return
    names, count = ("PyTorch Geometric", "ours", *POOLS), min(FOLDS, len(rows))
    scores = {name: np.array([row[name] for row in rows]).reshape(-1, count) for name in names}
    chosen = {name: sum(row["chosen"] == name for row in rows) for name in CHOSEN_FROM}
    lines = [
        "# MUTAG: readouts and PyTorch Geometric's GIN by a nested protocol",
        "",
        *(__doc__ or "").split("\n\n")[2].splitlines(),
        "",
        f"Accuracy on the outer folds: mean over {len(rows) // count} x {count} folds and their deviation; differences",
        "are paired by fold, with the 95 % t-interval over the mean of each fold number over seeds.",
        "",
        "| network | accuracy | deviation of folds | - PyTorch Geometric |",
        "| --- | --- | --- | --- |",
    ]
    base = scores["PyTorch Geometric"].mean(0)
    for name in ("PyTorch Geometric", "ours", *POOLS):
        own = scores[name]
        mean, low, high = interval((own.mean(0) - base).tolist())
        title = "ours, readout chosen by validation" if name == "ours" else name
        cell = "" if name == "PyTorch Geometric" else f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        lines.append(f"| {title} | {own.mean():.3f} | {own.std():.3f} | {cell} |")
    learned, random = (scores[f"{kind} clusters"].mean(0) for kind in ("learned", "random"))
    mean, low, high = interval((learned - random).tolist())
    lines += [
        "",
        "Validation chose: " + ", ".join(f"{name} {times}" for name, times in chosen.items()) + ".",
        f"Learned - random clusters: {mean:+.3f} [{low:+.3f}, {high:+.3f}].",
        "The majority class alone is right in 0.665.",
    ]
    print("\n".join(lines))
    if not quick:
        (RESULTS / "learned_mutag.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
