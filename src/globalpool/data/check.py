"""A look at a data set before training: what it holds, and every mistake with its file, its cause and what to do."""

from collections import Counter
from pathlib import Path

from globalpool.data.check_folders import class_findings, layout_findings, stray_findings
from globalpool.data.check_pictures import adding, class_place, dropping, picture_findings, size_line
from globalpool.data.check_tables import table_findings
from globalpool.data.examples import Examples
from globalpool.data.findings import DataCheck, Finding, error, shell, warning
from globalpool.data.folders import class_folders, list_files
from globalpool.data.images import SUFFIXES
from globalpool.data.labelled import read_labelled
from globalpool.data.splits import Split, split_examples
from globalpool.data.tables import TABLE_SUFFIXES
from globalpool.errors import DataError


def check_data(path: str | Path, *, seconds_per_picture: float | None = None) -> DataCheck:
    """Findings about a folder of classes or a table, and lines about what it holds; nothing is written.

    Every picture is decoded once. ``seconds_per_picture``: a measured time of training on one picture; only with it
    the summary says how long an epoch takes.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() not in TABLE_SUFFIXES:
        what = "one picture" if path.suffix.lower() in SUFFIXES else "neither a folder nor a table"
        command = shell("globalpool", "check", path.parent.parent)
        return DataCheck((error("no data set", path, f"{what}, not a data set", command),))
    data, findings = _table(path) if path.is_file() else _folder(path)
    if data is None:
        return DataCheck(tuple(findings))
    unreadable = [(file, reason) for file, reason in data.left_out if reason.startswith("expected ")]
    for file, reason in unreadable:
        bad = data.root / file
        findings.append(warning("unreadable file", bad, f"not used: {reason}", dropping(path, bad)))
    for file, reason in data.left_out:
        if reason.startswith("the same picture in "):
            bad = data.root / file
            findings.append(warning("picture in two classes", bad, f"not used: {reason}", dropping(path, bad)))
    filled = {label for example in data.examples for label in example.labels}
    known = {finding.file for finding in findings}
    for number, name in enumerate(data.classes):
        place = class_place(path, name)
        if number not in filled and (str(place) not in known or path.is_file()):
            cause = f"no picture of class {name} can be used"
            findings.append(error("class without pictures", place, cause, adding(path, name)))
    findings += picture_findings(path, data)
    summary = [_class_line(data), size_line(data)] if data.examples else []
    if data.examples and not any(finding.severity == "error" for finding in findings):
        try:
            split = split_examples(data)
        except DataError as wrong:
            name = Path(wrong.where).name
            cause = f"class {name} cannot be split: expected {wrong.expected}; got {wrong.got}"
            findings.append(error("too few to split", class_place(path, name), cause, adding(path, name)))
        else:
            summary += _split_lines(data, split, seconds_per_picture)
    findings.sort(key=lambda finding: finding.severity != "error")
    return DataCheck(tuple(findings), tuple(summary))


def _folder(root: Path) -> tuple[Examples | None, list[Finding]]:
    findings = layout_findings(root)
    if findings:
        return None, findings
    try:
        found = class_folders(root)
    except DataError as wrong:
        cause = f"expected {wrong.expected}; got {wrong.got}"
        return None, [error("layout", wrong.where, cause, shell("ls", root))]
    files, left_out = list_files(root, found)
    findings = class_findings(root, found, files) + stray_findings(root, left_out)
    return read_labelled(root, found.classes, files), findings


def _table(file: Path) -> tuple[Examples | None, list[Finding]]:
    table, findings = table_findings(file)
    entries = [] if table is None else [entry for _, entry in table.rows if entry.file.is_file()]
    if table is None or len(table.classes) < 2 or not entries:
        return None, findings
    return read_labelled(file.parent, table.classes, entries, multi_label=table.multi_label), findings


def _class_line(data: Examples) -> str:
    counts = Counter(data.classes[label] for example in data.examples for label in example.labels)
    each = ", ".join(f"{name} {counts[name]}" for name in data.classes[:20])
    more = f" and {len(data.classes) - 20} more" if len(data.classes) > 20 else ""
    kind = ", several labels a picture" if data.multi_label else ""
    return f"classes: {len(data.classes)} ({each}{more}), {len(data)} pictures{kind}"


def _split_lines(data: Examples, split: Split, seconds: float | None) -> list[str]:
    counts = f"{len(split.train)} training, {len(split.validation)} validation, {len(split.test)} test"
    lines = [f"split: {counts}; {split.rule}"]
    if seconds is not None:
        lines.append(f"time: {seconds * len(split.train):.0f} s an epoch at {seconds:g} s a picture")
    return lines
