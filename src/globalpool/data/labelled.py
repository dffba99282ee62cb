"""Files with their labels become examples: decoded once, unreadable and contradictory ones left out with a reason."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from globalpool.data.examples import Example, Examples, Part
from globalpool.data.facts import read_facts
from globalpool.data.kinds import InputKind
from globalpool.errors import DataError

#: Words for the three parts of a split, in folders and tables; upper and lower case alike.
PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Labelled:
    """A file that nobody has opened yet; ``labels``: class names."""

    file: Path
    labels: tuple[str, ...]
    group: str | None = None
    part: Part | None = None


def read_labelled(
    root: Path,
    classes: Sequence[str],
    files: Sequence[Labelled],
    left_out: Sequence[tuple[str, str]] = (),
    *,
    multi_label: bool = False,
    kind: type[InputKind] | None = None,
) -> Examples:
    """The files that can be read, as examples, in their order; ``left_out`` goes on with those that cannot."""
    examples, gone = [], list(left_out)
    read = None if kind is None else kind.facts
    ids = {name: number for number, name in enumerate(classes)}
    for entry, facts in zip(files, read_facts([entry.file for entry in files], read), strict=True):
        if isinstance(facts, DataError):
            gone.append((below(entry.file, root), f"expected {facts.expected}; got {facts.got}"))
            continue
        labels = tuple(sorted(ids[name] for name in entry.labels))
        known = (labels, facts.size, facts.content, entry.group, entry.part, facts.look, facts.grey)
        examples.append(Example(entry.file, *known))
    found = Examples(root, tuple(classes), tuple(examples), tuple(gone), multi_label)
    return of_one_class(found, "picture" if kind is None else kind.word)


def below(path: Path, root: Path) -> str:
    """``path`` as records name it: relative to ``root`` where that can be, with forward slashes."""
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:  # another drive
        return path.as_posix()


def of_one_class(data: Examples, word: str = "picture") -> Examples:
    """Without samples whose copies are labelled differently: whichever side they fell on, a label would be wrong."""
    seen: dict[str, set[tuple[int, ...]]] = {}
    for example in data.examples:
        seen.setdefault(example.content, set()).add(example.labels)
    odd = [example for example in data.examples if len(seen[example.content]) > 1]
    reasons = []
    for example in odd:
        names = (" + ".join(data.classes[i] for i in labels) or "none" for labels in sorted(seen[example.content]))
        reasons.append((below(example.path, data.root), f"the same {word} in {' and '.join(names)}"))
    kept = tuple(example for example in data.examples if len(seen[example.content]) == 1)
    return replace(data, examples=kept, left_out=data.left_out + tuple(reasons), word=word)
