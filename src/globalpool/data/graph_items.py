"""One graph, built: its nodes with their tags, its edges, and the molecule where it is one."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalpool.data.graph_files import Record, records
from globalpool.data.molecules import atoms, canonical, read_block, read_smiles
from globalpool.errors import DataError
from globalpool.extras import need


@dataclass(frozen=True, eq=False)
class Graph:
    """``tags``: a text a node (an element's symbol); ``edges (2, E)`` in both directions.

    ``facts (T, F)``: what else is known of the nodes, ``links (E, B)`` of the edges; ``molecule``: RDKit's, with its
    atoms in the order of the nodes. ``content``: equal for copies; ``alike``: equal for graphs that message passing
    cannot tell apart (molecules without their stereochemistry).
    """

    path: Path
    name: str
    tags: tuple[str, ...]
    edges: NDArray[np.int64]
    facts: NDArray[np.float32]
    links: NDArray[np.float32]
    molecule: Any
    content: str
    alike: str
    notes: tuple[str, ...] = ()


def read_graph(path: Path) -> Graph:
    """The graph that ``FILE`` or ``FILE#number`` names; DataError says why there is none."""
    file, number = split_number(path)
    found = records(file)
    if number is None:
        if len(found) != 1:
            hint = f"Name one as {file.name}#{found[0].number}, or the file itself where all are meant."
            raise DataError(str(path), "one graph", f"a file of {len(found)}", hint)
        return built(path, found[0])
    record = next((record for record in found if record.number == number), None)
    if record is None:
        got = f"none; it has {found[0].number} to {found[-1].number}"
        raise DataError(str(path), f"a graph with the number {number} in {file.name}", got)
    return built(path, record)


def split_number(path: Path) -> tuple[Path, int | None]:
    """``FILE#12`` as the file and 12; a file whose own name has a # is that file."""
    stem, mark, number = path.name.rpartition("#")
    if not mark or not number.isdigit() or path.exists():
        return path, None
    return path.with_name(stem), int(number)


@lru_cache(maxsize=8192)
def built(path: Path, record: Record) -> Graph:
    """The graph of a record, kept while it is in use: training asks for it in every epoch."""
    if record.plain is not None:
        plain = record.plain
        held = f"{plain.tags}".encode() + plain.edges.tobytes() + plain.attributes.tobytes()
        content = hashlib.sha256(held).hexdigest()
        links = np.zeros((plain.edges.shape[1], 0), np.float32)
        alike = _refined(plain.tags, plain.edges)
        return Graph(path, record.name, plain.tags, plain.edges, plain.attributes, links, None, content, alike)
    read = read_smiles if record.form == "smiles" else read_block
    molecule = read(record.where, record.text)
    own, (exact, flat) = atoms(molecule), canonical(molecule)
    content = hashlib.sha256(exact.encode()).hexdigest()
    return Graph(path, record.name, own.elements, own.edges, own.facts, own.bonds, molecule, content, flat)


def _refined(tags: tuple[str, ...], edges: NDArray[np.int64]) -> str:
    """The hash of Weisfeiler and Leman's colours: equal for isomorphic graphs, and for those no GNN of ours tells."""
    networkx = need("networkx", "graphs", "graphs")
    graph = networkx.Graph()
    graph.add_nodes_from((node, {"tag": tag}) for node, tag in enumerate(tags))
    graph.add_edges_from(edges.T.tolist())
    rounds = max(min(len(tags), 8), 1)
    return str(networkx.weisfeiler_lehman_graph_hash(graph, node_attr="tag", iterations=rounds))
