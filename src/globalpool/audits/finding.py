"""What an audit answers: a number measured beside the number predicted, a verdict, a table, a sentence of advice."""

import math
from dataclasses import dataclass
from typing import Any, Literal

#: "info": measured, with nothing that could be right or wrong; "not applicable": ``advice`` says in one line why.
Verdict = Literal["pass", "fail", "info", "not applicable"]
Cell = str | int | float | None


class DoesNotApplyError(Exception):
    """Raised by an audit that has no meaning for this classifier or these samples; its text is the one-line reason."""


@dataclass(frozen=True)
class Table:
    """``rows`` of one cell for each of ``columns``; a number that does not exist is None or NaN."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""

    def __post_init__(self) -> None:
        if odd := [row for row in self.rows if len(row) != len(self.columns)]:
            raise ValueError(f"A table of {len(self.columns)} columns has a row of {len(odd[0])}: {odd[0]}.")

    def column(self, name: str) -> tuple[Cell, ...]:
        """The cells below a heading."""
        place = self.columns.index(name)
        return tuple(row[place] for row in self.rows)

    def number(self, row: Cell, column: str) -> float:
        """The number below ``column`` in the row that begins with ``row``; NaN where there is none."""
        (cells,) = (cells for cells in self.rows if cells[0] == row)
        cell = cells[self.columns.index(column)]
        return float(cell) if isinstance(cell, int | float) else math.nan

    def where(self, name: str, value: Cell) -> "Table":
        """The rows whose cell below ``name`` is ``value``."""
        place = self.columns.index(name)
        return Table(self.columns, tuple(row for row in self.rows if row[place] == value), self.title)

    def record(self) -> dict[str, Any]:
        """For JSON, which has no NaN."""
        rows = [[_finite(cell) for cell in row] for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows}


@dataclass(frozen=True)
class Chart:
    """How a table is drawn: columns ``y`` over column ``x``, as lines with marks or as bars side by side.

    ``level``: a horizontal line, such as the threshold. ``logarithmic``: the vertical axis.
    """

    table: Table
    x: str
    y: tuple[str, ...]
    kind: Literal["lines", "bars"] = "lines"
    title: str = ""
    unit: str = ""
    level: float | None = None
    logarithmic: bool = False


@dataclass(frozen=True)
class Finding:
    """One audit's answer.

    ``measured`` with its 95 % ``interval`` (None: exact, or of one sample) and ``predicted`` (None: theory has no
    number) are in ``unit``; ``threshold``: what the verdict went by, in words; ``advice``: one sentence; ``tables``:
    the first is the finding's own; ``notes``: what a reader has to know, such as samples left out for lack of time.
    """

    audit: str
    question: str
    verdict: Verdict
    advice: str
    measured: float | None = None
    interval: tuple[float, float] | None = None
    predicted: float | None = None
    unit: str = ""
    threshold: str = ""
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = math.nan

    @property
    def table(self) -> Table:
        """The finding's own table; an empty one where it has none."""
        return self.tables[0] if self.tables else Table((), ())

    def record(self) -> dict[str, Any]:
        """For JSON: everything but how it is drawn."""
        return {
            "audit": self.audit,
            "question": self.question,
            "verdict": self.verdict,
            "measured": _finite(self.measured),
            "interval": None if self.interval is None else [_finite(end) for end in self.interval],
            "predicted": _finite(self.predicted),
            "unit": self.unit,
            "threshold": self.threshold,
            "advice": self.advice,
            "table": self.table.record(),
            "more_tables": [table.record() for table in self.tables[1:]],
            "notes": list(self.notes),
            "seconds": _finite(self.seconds),
        }


def _finite(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
