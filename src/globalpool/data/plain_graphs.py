"""Graphs in plain text, many a file: the format of Xu, Hu, Leskovec, Jegelka, GIN (2019)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from globalpool.errors import DataError

FORM = "Line 1: the number of graphs. Of each graph `nodes label`, then of each node `tag count neighbours...`."


@dataclass(frozen=True, eq=False)
class PlainGraph:
    """``line``: where it begins; ``label``: the text there; ``tags``: a text a node; ``edges (2, E)`` both ways.

    ``attributes (T, F)``: numbers after the neighbours, where the file has them.
    """

    line: int
    label: str
    tags: tuple[str, ...]
    edges: NDArray[np.int64]
    attributes: NDArray[np.float32]


def is_plain_graphs(text: str) -> bool:
    """Whether the first line is one whole number, as in this format and in no table."""
    first = text.lstrip("\ufeff\r\n").split("\n", 1)[0].split()
    return len(first) == 1 and first[0].isdigit()


def read_plain_graphs(file: Path, text: str) -> list[PlainGraph]:
    """All graphs of the file; DataError with its line for the first that does not follow the format.

    An edge that only one of its nodes names is an edge all the same.
    """
    lines = [line.split() for line in text.lstrip("\ufeff").splitlines()]
    if not is_plain_graphs(text):
        raise DataError(
            f"{file}, line 1", "the number of graphs", " ".join(lines[0])[:80] if lines else "nothing", FORM
        )
    number, graphs = 1, []
    for _ in range(int(lines[0][0])):
        graph, number = _read_graph(file, lines, number)
        graphs.append(graph)
    rest = next((i for i in range(number, len(lines)) if lines[i]), None)
    if rest is not None:
        raise DataError(f"{file}, line {rest + 1}", f"the end after {len(graphs)} graphs", "more lines", FORM)
    return graphs


def _read_graph(file: Path, lines: list[list[str]], start: int) -> tuple[PlainGraph, int]:
    head = _line(file, lines, start, "a graph's `nodes label`")
    if len(head) != 2 or not head[0].isdigit():
        raise DataError(f"{file}, line {start + 1}", "a graph's `nodes label`", " ".join(head)[:80], FORM)
    count = int(head[0])
    tags: list[str] = []
    attributes: list[list[float]] = []
    ends: set[tuple[int, int]] = set()
    for node in range(count):
        place = start + 1 + node
        cells = _line(file, lines, place, f"node {node + 1} of {count}, `tag count neighbours...`")
        try:
            amount = int(cells[1])
            beside = [int(cell) for cell in cells[2 : 2 + amount]]
            more = [float(cell) for cell in cells[2 + amount :]]
            fits = amount >= 0 and len(beside) == amount and all(0 <= other < count for other in beside)
        except (ValueError, IndexError):
            fits, beside, more = False, [], []
        if not fits:
            expected = f"`tag count neighbours...` with neighbours 0 to {count - 1}"
            raise DataError(f"{file}, line {place + 1}", expected, " ".join(cells)[:80], FORM)
        if attributes and len(more) != len(attributes[0]):
            got = f"{len(more)} numbers after the neighbours, {len(attributes[0])} before"
            raise DataError(f"{file}, line {place + 1}", "as many attributes for every node of a graph", got, FORM)
        tags.append(cells[0])
        attributes.append(more)
        ends |= {pair for other in beside for pair in ((node, other), (other, node))}
    edges = np.array(sorted(ends), dtype=np.int64).reshape(-1, 2).T
    held = np.array(attributes, dtype=np.float32).reshape(count, -1) if count else np.zeros((0, 0), np.float32)
    return PlainGraph(start + 1, head[1], tuple(tags), edges, held), start + 1 + count


def _line(file: Path, lines: list[list[str]], place: int, expected: str) -> list[str]:
    if place >= len(lines) or not lines[place]:
        got = "the end of the file" if place >= len(lines) else "an empty line"
        raise DataError(f"{file}, line {place + 1}", expected, got, FORM)
    return lines[place]
