"""A table of pictures: a CSV file with a path and a label a row."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from globalpool.data.examples import Examples
from globalpool.data.folders import read_folder
from globalpool.data.kinds import InputKind
from globalpool.data.labelled import PARTS, Labelled, read_labelled
from globalpool.errors import DataError

DELIMITERS = (",", ";", "\t", "|")
SEPARATORS = (";", "|")
LABEL_COLUMNS = ("label", "class")
COLUMNS = ("path", *LABEL_COLUMNS, "split", "group")
HEADER = "The first line names the columns, as in path,label or path,label,split,group."
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Table:
    """``rows``: (line number, labelled file); ``problems``: one error for each line that cannot be used."""

    file: Path
    rows: tuple[tuple[int, Labelled], ...]
    problems: tuple[DataError, ...]

    @property
    def multi_label(self) -> bool:
        """Whether a cell holds several labels; then one may also hold none."""
        return any(len(entry.labels) > 1 for _, entry in self.rows)

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels, sorted."""
        return tuple(sorted({name for _, entry in self.rows for name in entry.labels}))


def read_examples(path: str | Path, kind: type[InputKind] | None = None) -> Examples:
    """``read_folder`` of a folder, ``read_table`` of a CSV file, or the own way of ``kind`` (None: pictures)."""
    path = Path(path)
    if kind is not None and (own := kind.read_examples(path)) is not None:
        return own
    if path.is_file() and path.suffix.lower() not in TABLE_SUFFIXES:
        hint = "Name the folder above the classes, or a table that ends in .csv."
        raise DataError(str(path), "a folder with one subfolder a class, or a CSV file", "another file", hint)
    return read_table(path, kind) if path.is_file() else read_folder(path, kind)


def read_table(path: str | Path, kind: type[InputKind] | None = None) -> Examples:
    """Every readable picture (or file of ``kind``) that the table names, decoded once.

    Columns ``path`` (relative paths start at the table's folder) and ``label`` or ``class``; optional ``split`` (train,
    val, test) and ``group`` (a patient, a video: rows of one group never part). Several labels in one cell, separated
    by ``;`` or ``|``, make the examples multi-label. Commas, semicolons, tabs or bars between columns; UTF-8. DataError
    with its line number for the first row that cannot be used; files that cannot be read are left out.
    """
    table = parse_table(Path(path))
    if table.problems:
        raise table.problems[0]
    if len(table.classes) < 2:
        got = f"{len(table.classes)}" + "".join(f", {name}" for name in table.classes)
        raise DataError(str(table.file), "labels of at least two classes", got, "Add rows of another class.")
    trained = {name for _, entry in table.rows if entry.part in (None, "train") for name in entry.labels}
    if missing := [name for name in table.classes if name not in trained]:
        hint = "Add rows to train on, or remove the class from the other parts."
        raise DataError(str(table.file), "every class among the rows to train on", f"no {missing[0]}", hint)
    entries = [entry for _, entry in table.rows]
    return read_labelled(table.file.parent, table.classes, entries, multi_label=table.multi_label, kind=kind)


def parse_table(file: Path) -> Table:
    """The rows of a table and what is wrong with the others; no picture is opened."""
    text = table_text(file)
    header, delimiter = _header(file, text)
    rows: list[tuple[int, Labelled]] = []
    problems: list[DataError] = []
    lines: dict[Path, int] = {}
    for line, cells in table_rows(file, text, delimiter, problems):
        try:
            rows.append((line, _labelled(file, header, line, cells, lines)))
        except DataError as error:
            problems.append(error)
    if not rows and not problems:
        raise DataError(str(file), "a row for each picture", "no row below the header", HEADER)
    table = Table(file, tuple(rows), tuple(problems))
    if not table.multi_label:
        empty = [wrong_line(file, line, "a label", "an empty cell") for line, entry in rows if not entry.labels]
        problems = sorted([*problems, *empty], key=lambda error: int(error.where.rpartition(" ")[2]))
        table = Table(file, tuple(row for row in rows if row[1].labels), tuple(problems))
    return table


def table_text(file: Path) -> str:
    """The whole file, without a byte order mark; DataError where it is none or empty."""
    if not file.is_file():
        raise DataError(str(file), "a CSV file", "a folder" if file.is_dir() else "no such file", HEADER)
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "Save the table as UTF-8."
        raise DataError(str(file), "text in UTF-8", f"another encoding at byte {error.start}", hint) from error
    if not text.strip():
        raise DataError(str(file), "a header and a row for each picture", "an empty file", HEADER)
    return text


def _header(file: Path, text: str) -> tuple[list[str], str]:
    """Column names and the delimiter: the one that finds the columns in the first line."""
    first = text.lstrip("\r\n").splitlines()[0]
    found = {mark: [cell.strip().lower() for cell in next(csv.reader([first], delimiter=mark))] for mark in DELIMITERS}
    for mark, names in found.items():
        if "path" in names and len(set(LABEL_COLUMNS).intersection(names)) == 1:
            twice = sorted({name for name in names if name in COLUMNS and names.count(name) > 1})
            if twice:
                raise DataError(f"{file}, line 1", "each column once", f"{twice[0]} twice", HEADER)
            return names, mark
    names = max(found.values(), key=len)
    got = ", ".join(name or "an empty name" for name in names)
    raise DataError(f"{file}, line 1", "the columns path and either label or class", got, HEADER)


def table_rows(file: Path, text: str, delimiter: str, problems: list[DataError]) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped cells of each row that is not blank, below the header."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begun = False
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(wrong_line(file, line, "cells in the form of CSV", str(error)))
            return
        if not any(cells):
            continue
        if begun:
            yield line, cells
        begun = True


def _labelled(file: Path, header: list[str], line: int, cells: list[str], lines: dict[Path, int]) -> Labelled:
    if len(cells) != len(header):
        hint = "Put a cell that holds the delimiter in quotes."
        raise wrong_line(file, line, f"{len(header)} cells, as in the header", f"{len(cells)}", hint)
    row = dict(zip(header, cells, strict=True))
    if not row["path"]:
        raise wrong_line(file, line, "a path", "an empty cell")
    path = file.parent / row["path"]
    if path in lines:
        hint = "Several labels of one picture go into one cell, separated by ; or |."
        raise wrong_line(file, line, "each path once", f"{row['path']}, as in line {lines[path]}", hint)
    lines[path] = line
    part = PARTS.get(row["split"].lower()) if "split" in row else None
    if "split" in row and part is None:
        got = repr(row["split"]) if row["split"] else "an empty cell"
        raise wrong_line(file, line, "a split named train, val or test", got, "Remove the column to let it be made.")
    cell = row.get("label", row.get("class", ""))
    for mark in SEPARATORS:
        cell = cell.replace(mark, SEPARATORS[0])
    labels = dict.fromkeys(name.strip() for name in cell.split(SEPARATORS[0]) if name.strip())
    return Labelled(path, tuple(labels), row.get("group") or None, part)


def wrong_line(file: Path, line: int, expected: str, got: str, hint: str = "") -> DataError:
    """An error of one line."""
    return DataError(f"{file}, line {line}", expected, got, hint)
