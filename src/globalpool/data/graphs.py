"""Graphs as one kind of input: molecules and plain graphs as batches of PyTorch Geometric."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from globalpool.data.examples import Example, Examples
from globalpool.data.facts import Facts
from globalpool.data.find import Found, find_files
from globalpool.data.graph_files import LISTS, PICKLES, SDF, TABLES, Record, records, smiles_header
from globalpool.data.graph_items import Graph, built, read_graph, split_number
from globalpool.data.kinds import InputKind
from globalpool.data.labelled import of_one_class
from globalpool.data.molecules import ATOM_FACTS
from globalpool.data.plain_graphs import is_plain_graphs
from globalpool.errors import DataError
from globalpool.extras import need

NODES = ("atoms", "tags", "degrees", "constant")
#: Rows of a table whose molecules may be broken before nothing is trained on at all.
LABEL_HINT = "A column label or class; of an SDF a property of that name, or one with the word in it."


@dataclass(frozen=True)
class Graphs(InputKind):
    """What a node of the input holds, as ``nodes`` says.

    - "atoms": element, one column for each of ``vocabulary`` and one for all others; then ``ATOM_FACTS``;
    - "tags": tag, likewise; then the attributes of the file;
    - "degrees": number of neighbours, a column for each of 0 to ``largest``, and one for more: for graphs whose nodes
      have no features;
    - "constant": 1. Nothing but the edges then tells nodes apart, and means of neighbours, read out by a mean, are the
      same for every graph.

    Edges are those of the graph in both directions; ``edge_attr (E, 4)`` of molecules is the kind of bond, which the
    small trunks do not look at. ``attributes``: numbers of a node in the file.
    """

    nodes: str = "degrees"
    vocabulary: tuple[str, ...] = ()
    largest: int = 0
    attributes: int = 0

    kind: ClassVar[str] = "graphs"
    word: ClassVar[str] = "graph"
    extra: ClassVar[str] = "graphs"
    dims: ClassVar[int] = 0
    trunk: ClassVar[str] = "gin"
    suffixes: ClassVar[frozenset[str]] = frozenset((*SDF, *LISTS))

    @property
    def channels(self) -> int:
        if self.nodes in ("atoms", "tags"):
            return len(self.vocabulary) + 1 + (len(ATOM_FACTS) if self.nodes == "atoms" else self.attributes)
        return self.largest + 2 if self.nodes == "degrees" else 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The name of each feature of a node."""
        if self.nodes in ("atoms", "tags"):
            more = ATOM_FACTS if self.nodes == "atoms" else tuple(f"attribute {i + 1}" for i in range(self.attributes))
            return (*self.vocabulary, "other", *more)
        return (*(f"degree {i}" for i in range(self.largest + 1)), "more") if self.nodes == "degrees" else ("1",)

    @classmethod
    def facts(cls, path: Path) -> Facts:
        graph = read_graph(path)
        return Facts((len(graph.tags),), graph.content)

    @classmethod
    def planned(cls, files: Sequence[Path], settings: Mapping[str, str]) -> Self:
        if unknown := sorted(set(settings) - {"nodes"}):
            raise DataError("--inputs", "nodes=... of graphs", unknown[0])
        graphs = [read_graph(path) for path in files]
        if not graphs:
            raise DataError("Graphs", "one or more graphs to train on", "none")
        molecules = all(graph.molecule is not None for graph in graphs)
        tagged = len({tag for graph in graphs for tag in graph.tags}) > 1
        nodes = settings.get("nodes", "atoms" if molecules else "tags" if tagged else "degrees")
        if nodes not in NODES or (nodes == "atoms" and not molecules):
            got = f"nodes={nodes}" + (" for graphs that are no molecules" if nodes == "atoms" else "")
            raise DataError("--inputs", f"nodes as one of {', '.join(NODES)}", got)
        if nodes in ("atoms", "tags"):
            widths = {0} if nodes == "atoms" else {graph.facts.shape[1] for graph in graphs if len(graph.tags)}
            if molecules and nodes == "tags":
                widths = {0}
            if len(widths) > 1:
                raise DataError(str(files[0]), "as many attributes in every graph", f"{sorted(widths)}")
            known = tuple(sorted({tag for graph in graphs for tag in graph.tags}))
            return cls(nodes, known, 0, max(widths, default=0))
        return cls(nodes, (), max(int(_degrees(graph).max(initial=0)) for graph in graphs) if nodes == "degrees" else 0)

    def read(self, path: Path) -> Graph:
        graph = read_graph(path)
        if self.nodes == "atoms" and graph.molecule is None:
            raise DataError(str(path), "a molecule, as in training", "a plain graph")
        if self.nodes == "tags" and self.attributes and len(graph.tags) and graph.facts.shape[1] != self.attributes:
            raise DataError(str(path), f"{self.attributes} attributes of each node", f"{graph.facts.shape[1]}")
        return graph

    def prepare(self, item: Graph) -> Any:
        data = need("torch_geometric.data", "graphs", "Graphs").Data
        count = len(item.tags)
        if self.nodes in ("atoms", "tags"):
            place = {tag: column for column, tag in enumerate(self.vocabulary)}
            known = np.array([place.get(tag, len(place)) for tag in item.tags], dtype=np.int64)
            facts = item.facts if self.nodes == "atoms" or self.attributes else np.zeros((count, 0), np.float32)
            facts = facts.reshape(count, -1) if count else np.zeros((0, self.channels - len(place) - 1), np.float32)
            x = np.concatenate([_one_hot(known, len(place) + 1), facts], 1)
        elif self.nodes == "degrees":
            x = _one_hot(np.minimum(_degrees(item), self.largest + 1), self.largest + 2)
        else:
            x = np.ones((count, 1), np.float32)
        given = {} if item.molecule is None else {"edge_attr": torch.from_numpy(item.links)}
        return data(x=torch.from_numpy(x), edge_index=torch.from_numpy(item.edges.copy()), num_nodes=count, **given)

    def collate(self, samples: Sequence[Any]) -> tuple[Any, ...]:
        """One ``Batch`` of PyTorch Geometric."""
        return (need("torch_geometric.data", "graphs", "Graphs").Batch.from_data_list(list(samples)),)

    def stand_in(self) -> tuple[Any, ...]:
        data = need("torch_geometric.data", "graphs", "Graphs").Data
        edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        return self.collate([data(x=torch.zeros(3, self.channels), edge_index=edges, num_nodes=3)])

    def size(self, sample: Any) -> tuple[int, ...]:
        return (int(sample.num_nodes),)

    @classmethod
    def find(cls, paths: Iterable[str | Path]) -> Found:
        """Every graph of every file, as FILE#number where a file has several; a file that fails is named itself."""
        found = find_files(paths, cls.suffixes)
        return Found(tuple(one for file in found.files for one in _named(file)), found.passed_over, found.unlisted)

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Tables with a column smiles, and graphs in plain text."""
        if not path.is_file() or path.suffix.lower() not in TABLES:
            return False
        text = path.read_bytes()[:100_000].decode("utf-8-sig", errors="replace")
        return is_plain_graphs(text) or smiles_header(text) is not None

    @classmethod
    def read_examples(cls, path: str | Path) -> Examples | None:
        """The graphs of one file with their labels; broken ones are left out with their line and reason.

        Graphs that message passing cannot tell apart are one group, and never part, unless the table names groups.
        """
        path = Path(path)
        if not path.is_file() or not (path.suffix.lower() in (*SDF, *LISTS, *PICKLES) or cls.claims(path)):
            return None
        return labelled_graphs([(path, None)])


def labelled_graphs(files: Sequence[tuple[Path, Any]]) -> Examples:
    """Files of graphs as examples, each file with the part of the split it is (None: as its records say)."""
    found: list[tuple[Record, Graph, Any]] = []
    gone: list[tuple[str, str]] = []
    for file, part in files:
        for record in records(file):
            if record.label is None:
                raise DataError(record.where, "a label", "none", LABEL_HINT)
            try:
                graph = built(file.with_name(f"{file.name}#{record.number}"), record)
            except DataError as error:
                gone.append((error.where, f"expected {error.expected}; got {error.got}"))
                continue
            found.append((record, graph, part or record.part))
    if not found:
        raise DataError(str(files[0][0]), "a graph that can be read", gone[0][1] if gone else "none")
    classes = sorted({str(record.label) for record, _, _ in found})
    if len(classes) < 2:
        hint = "Add graphs of another class."
        raise DataError(str(files[0][0]), "labels of at least two classes", f"only {classes[0]}", hint)
    if len(classes) > max(2, len(found) // 2):
        got = f"{len(classes)} different ones for {len(found)} graphs, as in {classes[0]!r}"
        raise DataError(str(files[0][0]), "labels that name classes", got, LABEL_HINT)
    examples = [
        Example(
            graph.path,
            (classes.index(str(record.label)),),
            (len(graph.tags),),
            graph.content,
            record.group or f"alike {graph.alike}",
            part,
        )
        for record, graph, part in found
    ]
    return of_one_class(Examples(files[0][0].parent, tuple(classes), tuple(examples), tuple(gone)), Graphs.word)


def _named(file: Path) -> tuple[Path, ...]:
    if split_number(file)[1] is not None:
        return (file,)
    try:
        found = records(file)
    except DataError:
        return (file,)
    return (file,) if len(found) == 1 else tuple(file.with_name(f"{file.name}#{one.number}") for one in found)


def _degrees(graph: Graph) -> "np.ndarray[Any, np.dtype[np.int64]]":
    return np.bincount(graph.edges[0], minlength=len(graph.tags)).astype(np.int64)


def _one_hot(columns: "np.ndarray[Any, np.dtype[np.int64]]", width: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
    found = np.zeros((len(columns), width), np.float32)
    found[np.arange(len(columns)), columns] = 1
    return found
