"""A split as a file: which picture lies in which part, so that others and later runs get the same one."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from globalpool.data.examples import Examples
from globalpool.data.labelled import below
from globalpool.data.splits import Split
from globalpool.errors import DataError

FORMAT = "globalpool split 1"
NAMES = ("train", "validation", "test")


def write_split(file: Path, data: Examples, split: Split) -> None:
    """``split.json``: path (from the data's root) and the first 16 digits of the content of every picture, by part."""
    paths = _paths(data)
    parts = {name: {paths[i]: data.examples[i].content[:16] for i in getattr(split, name)} for name in NAMES}
    used = {i for name in NAMES for i in getattr(split, name)}
    parts["unused"] = {paths[i]: example.content[:16] for i, example in enumerate(data.examples) if i not in used}
    written = {"format": FORMAT, "rule": split.rule, "classes": list(data.classes), **parts}
    text = json.dumps({**written, "left_out": [list(entry) for entry in split.left_out]}, indent=1) + "\n"
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def read_split(file: Path, data: Examples) -> Split:
    """The split in ``file`` of the same data; DataError that names what was changed, removed or added since."""
    hint = "Write it again by globalpool train, without --split."
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        if known["format"] != FORMAT:
            raise ValueError(f"a file that does not say {FORMAT!r}")
        parts = {
            name: {str(path): str(content) for path, content in known[name].items()} for name in (*NAMES, "unused")
        }
        rule, classes = str(known["rule"]), [str(name) for name in known["classes"]]
        left_out = tuple((str(path), str(reason)) for path, reason in known["left_out"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(str(file), "a split that globalpool wrote", reason, hint) from error
    places = {path: i for i, path in enumerate(_paths(data))}
    hint = "Restore the pictures, or make a new split in a new run."
    if classes != list(data.classes):
        odd = ", ".join(sorted(set(classes) ^ set(data.classes))) or "their order"
        raise DataError(str(file), f"the classes of {data.root}", f"a difference in {odd}", hint)
    written = {path: content for part in parts.values() for path, content in part.items()}
    changed = [path for path in written if path in places and data.examples[places[path]].content[:16] != written[path]]
    for what, odd_paths in (
        ("gone or unreadable", sorted(written.keys() - places.keys())),
        ("new", sorted(places.keys() - written.keys())),
        ("changed", sorted(changed)),
    ):
        if odd_paths:
            raise DataError(str(file), f"the pictures of {data.root}", f"{_some(odd_paths)} {what}", hint)
    chosen = [tuple(sorted(places[path] for path in parts[name])) for name in NAMES]
    return Split(chosen[0], chosen[1], chosen[2], rule, left_out)


def _paths(data: Examples) -> list[str]:
    return [below(example.path, data.root) for example in data.examples]


def _some(paths: Iterable[str]) -> str:
    listed = list(paths)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if listed[3:] else "")
