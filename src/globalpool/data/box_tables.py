"""A table of boxes: a CSV file with a picture's path and one true box a row."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from globalpool.data.tables import DELIMITERS, table_rows, table_text, wrong_line
from globalpool.errors import DataError

SIDES = ("x", "y", "width", "height")
LABELS = ("label", "class")
HEADER = "The first line names the columns, as in path,x,y,width,height or path,x,y,width,height,label."


@dataclass(frozen=True, eq=False)
class BoxedPicture:
    """``boxes (M, 4)`` float64: ``(x, y, width, height)``, half-open, in pixels of the picture; ``label``: if told."""

    path: Path
    boxes: NDArray[np.float64]
    label: str | None


def read_boxes_table(path: str | Path) -> list[BoxedPicture]:
    """The pictures of a table in the order of their first rows; several rows of one picture are several boxes.

    Columns ``path`` (relative paths start at the table's folder), ``x``, ``y`` (of the upper left corner, from 0),
    ``width``, ``height`` in pixels; optional ``label`` or ``class``. No picture is opened. DataError with its line
    number for the first row that cannot be used.
    """
    file = Path(path)
    text = table_text(file)
    names, delimiter = _header(file, text)
    problems: list[DataError] = []
    boxes: dict[Path, list[list[float]]] = {}
    labels: dict[Path, str | None] = {}
    for line, cells in table_rows(file, text, delimiter, problems):
        if len(cells) != len(names):
            raise wrong_line(file, line, f"{len(names)} cells, as in the header", f"{len(cells)}")
        row = dict(zip(names, cells, strict=True))
        if not row["path"]:
            raise wrong_line(file, line, "a path", "an empty cell")
        picture = file.parent / row["path"]
        boxes.setdefault(picture, []).append([_number(file, line, name, row[name]) for name in SIDES])
        label = next((row[name] for name in LABELS if name in row), None)
        if labels.setdefault(picture, label) != label:
            raise wrong_line(file, line, f"one label for each picture, {labels[picture]!r} as above", repr(label))
    if problems:
        raise problems[0]
    if not boxes:
        raise DataError(str(file), "a row for each box", "no row below the header", HEADER)
    return [BoxedPicture(picture, np.array(own), labels[picture]) for picture, own in boxes.items()]


def check_inside(own: BoxedPicture, height: int, width: int) -> None:
    """DataError unless the boxes lie inside the picture, up to one pixel for those counted from 1."""
    over = own.boxes[:, :2] + own.boxes[:, 2:] > np.array([width, height]) + 1
    if over.any():
        box = own.boxes[over.any(1)][0].tolist()
        raise DataError(
            str(own.path),
            f"boxes inside the picture of {width} x {height} pixels",
            f"x, y, width, height {', '.join(f'{side:g}' for side in box)}",
            "A box is its upper left corner, width and height, not two corners, in pixels of the picture.",
        )


def _header(file: Path, text: str) -> tuple[list[str], str]:
    first = text.lstrip("\r\n").splitlines()[0]
    for mark in DELIMITERS:
        names = [cell.strip().lower() for cell in next(csv.reader([first], delimiter=mark))]
        if {"path", *SIDES} <= set(names):
            if len(set(names)) < len(names):
                raise DataError(f"{file}, line 1", "each column once", "one twice", HEADER)
            return names, mark
    raise DataError(f"{file}, line 1", "the columns path, x, y, width and height", first[:80], HEADER)


def _number(file: Path, line: int, name: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (value <= 0 if name in SIDES[2:] else value < 0):
        expected = f"`{name}` as a number {'above 0' if name in SIDES[2:] else 'of 0 or more'}, in pixels"
        raise wrong_line(file, line, expected, repr(cell))
    return value
