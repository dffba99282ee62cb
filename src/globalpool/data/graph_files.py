"""Files that hold many graphs: SDF, tables with a column of SMILES, lists of SMILES, graphs in plain text."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from globalpool.data.examples import Part
from globalpool.data.find import holds
from globalpool.data.labelled import PARTS
from globalpool.data.plain_graphs import PlainGraph, is_plain_graphs, read_plain_graphs
from globalpool.data.tables import table_rows, wrong_line
from globalpool.errors import DataError

SDF, TABLES, LISTS = (".sdf", ".sd", ".mol"), (".csv", ".tsv", ".txt"), (".smi", ".smiles")
PICKLES = (".pt", ".pth", ".pkl", ".pickle")
DELIMITERS, LABELS = (",", ";", "\t", "|"), ("label", "class")
FORMS = "SDF, a CSV with a column smiles, a list of SMILES (.smi), or graphs in plain text (.txt) are read."


@dataclass(frozen=True, eq=False)
class Record:
    """One graph of a file that nobody has built yet.

    ``number``: FILE#number names it (an SDF record or a plain graph counted from 1, the line of a table or list);
    ``where``: the same for errors; ``text``: SMILES, or the record of an SDF; ``plain``: in place of a text.
    ``label``: None where the file has none.
    """

    number: int
    where: str
    form: str
    text: str = ""
    plain: PlainGraph | None = None
    name: str = ""
    label: str | None = None
    part: Part | None = None
    group: str | None = None


def records(path: Path) -> tuple[Record, ...]:
    """All of a file's records, in order; DataError where it has another form, with the line."""
    if not holds(path.is_file):
        raise DataError(str(path), "a file of graphs", "a folder" if holds(path.is_dir) else "no such file", FORMS)
    stamp = path.stat()
    return _records(path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=8)
def _records(path: Path, changed: int, size: int) -> tuple[Record, ...]:
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        hint = "Opening a pickle runs what is in it. Load it yourself, and give the Batch to the classifier."
        raise DataError(str(path), "a file of graphs that holds data alone", "a pickle of PyTorch", hint)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(str(path), "text in UTF-8", f"another encoding at byte {error.start}", FORMS) from error
    if not text.strip():
        raise DataError(str(path), "a file of graphs", "an empty file", FORMS)
    if suffix in SDF:
        return _of_sdf(path, text)
    if suffix in LISTS:
        return _of_list(path, text)
    if suffix in TABLES and is_plain_graphs(text):
        graphs = enumerate(read_plain_graphs(path, text), start=1)
        return tuple(
            Record(number, f"{path}, line {graph.line}", "plain", plain=graph, label=graph.label)
            for number, graph in graphs
        )
    if suffix in TABLES:
        return _of_table(path, text)
    raise DataError(str(path), "a file of graphs", f"a file that ends in {suffix or 'nothing'}", FORMS)


def smiles_header(text: str) -> tuple[list[str], str] | None:
    """Names of the columns in lower case and what is between them, where one is smiles; None for other tables."""
    first = (text.lstrip("\ufeff\r\n").splitlines() or [""])[0]
    for mark in DELIMITERS:
        names = [cell.strip().lower() for cell in next(csv.reader([first], delimiter=mark), [])]
        if "smiles" in names:
            return names, mark
    return None


def _of_table(path: Path, text: str) -> tuple[Record, ...]:
    header = smiles_header(text)
    if header is None:
        raise DataError(f"{path}, line 1", "a column smiles, and label or class to train on", "none", FORMS)
    names, mark = header
    problems: list[DataError] = []
    found = []
    for line, cells in table_rows(path, text, mark, problems):
        if len(cells) != len(names):
            hint = "Put a cell that holds the delimiter in quotes."
            raise wrong_line(path, line, f"{len(names)} cells, as in the header", f"{len(cells)}", hint)
        row = dict(zip(names, cells, strict=True))
        label = next((row[name] for name in LABELS if name in row), None)
        if label == "":
            raise wrong_line(path, line, "a label", "an empty cell")
        part = PARTS.get(row["split"].lower()) if "split" in row else None
        if "split" in row and part is None:
            raise wrong_line(path, line, "a split named train, val or test", repr(row["split"]))
        where, name = f"{path}, line {line}", row.get("name", "")
        found.append(Record(line, where, "smiles", row["smiles"], None, name, label, part, row.get("group") or None))
    if problems:
        raise problems[0]
    if not found:
        raise DataError(str(path), "a row for each molecule", "no row below the header")
    return tuple(found)


def _of_list(path: Path, text: str) -> tuple[Record, ...]:
    found = []
    for line, content in enumerate(text.splitlines(), start=1):
        if content.strip():
            smiles, *name = content.split(maxsplit=1)
            found.append(Record(line, f"{path}, line {line}", "smiles", smiles, name="".join(name).strip()))
    return tuple(found)


def _of_sdf(path: Path, text: str) -> tuple[Record, ...]:
    blocks = _blocks(text)
    properties = [_properties(block) for block in blocks]
    chosen = label_property(list(dict.fromkeys(name for own in properties for name in own)))
    found = []
    for number, (block, own) in enumerate(zip(blocks, properties, strict=True), start=1):
        label = own.get(chosen) if chosen is not None else None
        name = block.split("\n", 1)[0].strip()
        found.append(Record(number, f"{path}, record {number}", "sdf", block, name=name, label=label or None))
    return tuple(found)


def _blocks(text: str) -> list[str]:
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.rstrip() == "$$$$":
            blocks.append([])
        else:
            blocks[-1].append(line)
    joined = ["\n".join(lines) + "\n" for lines in blocks]
    return joined[:-1] if len(joined) > 1 and not joined[-1].strip() else joined


def _properties(block: str) -> dict[str, str]:
    """The data items of an SDF record: a line ``> <NAME>``, then the lines of its value up to an empty one."""
    found, lines = {}, block.splitlines()
    for number, line in enumerate(lines):
        if line.startswith(">") and "<" in line:
            name = line[line.index("<") + 1 :].split(">")[0]
            found[name] = lines[number + 1].strip() if number + 1 < len(lines) else ""
    return found


def label_property(names: Sequence[str]) -> str | None:
    """The property that is the class: label or class, else the only one that has one of these words in its name."""
    exact = [name for name in names if name.lower() in LABELS]
    within = [name for name in names if any(word in name.lower() for word in LABELS)]
    chosen = exact or within
    return chosen[0] if len(chosen) == 1 else None
