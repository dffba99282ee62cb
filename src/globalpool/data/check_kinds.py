"""A look at a data set of files other than pictures, before training."""

from collections import Counter
from pathlib import Path

from globalpool.data.examples import Examples
from globalpool.data.findings import DataCheck, error, shell, warning
from globalpool.data.kinds import InputKind
from globalpool.data.splits import split_examples
from globalpool.data.tables import read_examples
from globalpool.errors import DataError

#: A class with fewer than this share of the largest one's samples is named.
RARE = 0.1


def check_kind(path: str | Path, kind: type[InputKind]) -> DataCheck:
    """Findings about labelled samples of one kind, and lines about what they are; every file is decoded once."""
    path = Path(path)
    try:
        data = read_examples(path, kind)
    except DataError as wrong:
        cause = f"expected {wrong.expected}; got {wrong.got}" + (f". {wrong.hint}".rstrip(".") if wrong.hint else "")
        return DataCheck((error("no data set", wrong.where, cause, shell("ls", path.parent)),))
    findings = [
        warning("left out", data.root / file, f"not used: {reason}", shell("rm", data.root / file))
        for file, reason in data.left_out
    ]
    counts = Counter(label for example in data.examples for label in example.labels)
    most = max(counts.values(), default=0)
    for number, name in enumerate(data.classes):
        if counts[number] < RARE * most:
            cause = f"{counts[number]} {kind.word}s of class {name}, the largest class has {most}"
            findings.append(warning("rare class", data.root / name, cause, f"add {kind.word}s of class {name}"))
    summary = [_class_line(data, kind.word, counts), _size_line(data, kind)]
    try:
        split = split_examples(data)
    except DataError as wrong:
        cause = f"cannot be split: expected {wrong.expected}; got {wrong.got}"
        findings.insert(0, error("too few to split", wrong.where, cause, f"add {kind.word}s"))
    else:
        parts = f"{len(split.train)} training, {len(split.validation)} validation, {len(split.test)} test"
        summary.append(f"split: {parts}; {split.rule}")
    return DataCheck(tuple(findings), tuple(summary))


def _class_line(data: Examples, word: str, counts: Counter[int]) -> str:
    each = ", ".join(f"{name} {counts[number]}" for number, name in enumerate(data.classes[:20]))
    more = f" and {len(data.classes) - 20} more" if len(data.classes) > 20 else ""
    return f"classes: {len(data.classes)} ({each}{more}), {len(data)} {word}s"


def _size_line(data: Examples, kind: type[InputKind]) -> str:
    sizes = [example.size for example in data.examples]
    if not sizes:
        return f"no {kind.word} can be read"
    least, largest = min(sizes), max(sizes)
    words = {0: "nodes", 1: "positions along time"}.get(kind.dims, "size")
    return f"{words}: {' x '.join(map(str, least))} to {' x '.join(map(str, largest))}, {len(set(sizes))} different"
