"""The folder an explanation is written to: never a user's own, never half old and half new."""

import csv
from pathlib import Path
from typing import TextIO

from globalpool.errors import DataError
from globalpool.report.results import COLUMNS


def is_ours(out: Path) -> bool:
    """Whether the folder holds an earlier explanation: a table with our columns."""
    try:
        with open(out / "predictions.csv", newline="", encoding="utf-8") as file:
            return next(csv.reader(file), None) == list(COLUMNS)
    except (OSError, UnicodeDecodeError):
        return False


def earlier_figures(out: Path) -> set[Path]:
    """The figures an earlier explanation in the folder wrote, as its own table names them.

    Only inside ``pictures``: a table is a file that anyone may have edited, and these are deleted.
    """
    if not is_ours(out):
        return set()
    with open(out / "predictions.csv", newline="", encoding="utf-8") as file:
        named = {(out / row["figure"]).resolve() for row in csv.DictReader(file) if row["figure"]}
    return {figure for figure in named if figure.parent == (out / "pictures").resolve()}


def make_folder(out: Path, overwrite: bool) -> None:
    """Create the folder, or clear an earlier explanation out of it; DataError where it is in use for other things."""
    if out.exists() and not out.is_dir():
        raise DataError(str(out), "a folder to write to", "a file", "Choose another --out.")
    if out.is_dir() and any(out.iterdir()):
        ours = is_ours(out)
        if not (overwrite and ours):
            got = "one with an earlier explanation" if ours else "one with other files"
            hint = "Pass --overwrite to replace it." if ours else "Choose another --out."
            raise DataError(str(out), "a new or empty folder", got, hint)
        for old in (out / "index.html", out / "evidence.npz", *earlier_figures(out)):
            old.unlink(missing_ok=True)
    (out / "pictures").mkdir(parents=True, exist_ok=True)


def open_text(path: Path) -> TextIO:
    """A text file for writing; names that are not valid Unicode are written with backslashes, not refused."""
    return open(path, "w", newline="", encoding="utf-8", errors="backslashreplace")
