"""Mistakes in a table of pictures; no picture is opened."""

from pathlib import Path

from globalpool.data.findings import Finding, error, listed, shell, warning
from globalpool.data.images import SUFFIXES
from globalpool.data.tables import Table, parse_table
from globalpool.errors import DataError


def table_findings(file: Path) -> tuple[Table | None, list[Finding]]:
    """The table, where it has rows, and what is wrong with its lines."""
    again = shell("globalpool", "check", file)
    try:
        table = parse_table(file)
    except DataError as wrong:
        return None, [error("table", wrong.where, _cause(wrong), again)]
    if any(Path(name).suffix.lower() in SUFFIXES for name in table.classes):
        cause = "the columns path and label are swapped: a label is called like a picture"
        return None, [error("swapped columns", f"{file}, line 1", cause, again)]
    findings = [error("line of a table", wrong.where, _cause(wrong), again) for wrong in table.problems]
    missing = [(line, entry) for line, entry in table.rows if not entry.file.is_file()]
    findings += _missing(file, table, [line for line, _ in missing]) if missing else []
    if len(table.classes) == 1:
        cause = f"holds one class only, {table.classes[0]}; a classifier tells at least two apart"
        findings.append(error("one class", file, cause, again))
    trained = {name for _, entry in table.rows if entry.part in (None, "train") for name in entry.labels}
    for name in sorted(set(table.classes) - trained):
        line = next(line for line, entry in table.rows if name in entry.labels)
        cause = f"class {name} is not among the rows to train on"
        findings.append(error("class not trained on", f"{file}, line {line}", cause, again))
    return table, findings + _groups(file, table)


def _missing(file: Path, table: Table, lines: list[int]) -> list[Finding]:
    rows = dict(table.rows)
    first = rows[lines[0]].file
    if "\\" in str(first) and Path(str(first).replace("\\", "/")).is_file():
        cause = "paths are written with backslashes"
        return [error("backslashes", f"{file}, line {lines[0]}", cause, shell("sed", "-i", r"s/\\/\//g", file))]
    if len(lines) == len(rows):
        where = "an absolute path of another machine?" if first.is_absolute() and not first.parent.is_dir() else ""
        cause = f"no file of the table exists, such as {first}" + (f" ({where})" if where else "")
        command = f"{shell('ls', file.parent)}, from where relative paths start"
        return [error("missing files", f"{file}, line {lines[0]}", cause, command)]
    files = {line: rows[line].file for line in lines}
    return [
        warning("missing file", f"{file}, line {line}", f"no such file, {path}", shell("ls", path.parent))
        for line, path in files.items()
    ]


def _groups(file: Path, table: Table) -> list[Finding]:
    """Groups that a given split takes apart."""
    parts: dict[str, dict[str, int]] = {}
    for line, entry in table.rows:
        if entry.group is not None and entry.part is not None:
            parts.setdefault(entry.group, {}).setdefault(entry.part, line)
    command = f"{shell('globalpool', 'check', file)}, after giving all its rows one split"
    return [
        warning(
            "group across the split",
            f"{file}, line {max(lines.values())}",
            f"group {group} lies in {listed(sorted(lines))}",
            command,
        )
        for group, lines in parts.items()
        if len(lines) > 1
    ]


def _cause(wrong: DataError) -> str:
    return f"expected {wrong.expected}; got {wrong.got}" + (f". {wrong.hint.rstrip('.')}" if wrong.hint else "")
