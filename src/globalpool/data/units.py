"""What must not part: examples joined by content, by group or by near likeness."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from globalpool.data.examples import Example
from globalpool.data.near import near_copies


@dataclass(frozen=True)
class Unit:
    """``members``: positions in the list of examples; ``key``: the smallest content among them, which orders units.

    ``counts``: for each class the number of different pictures, copies counted once.
    """

    members: tuple[int, ...]
    key: str
    counts: dict[int, int]


def units(examples: Sequence[Example]) -> list[Unit]:
    """The examples in groups that share nothing with each other, in the order of their keys."""
    parent = list(range(len(examples)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in _ties(examples):
        parent[root(i)] = root(j)
    joined: dict[int, list[int]] = {}
    for i in range(len(examples)):
        joined.setdefault(root(i), []).append(i)
    found = []
    for members in joined.values():
        shown = {(label, examples[i].content) for i in members for label in examples[i].labels}
        counts: dict[int, int] = {}
        for label, _ in sorted(shown):
            counts[label] = counts.get(label, 0) + 1
        found.append(Unit(tuple(members), min(examples[i].content for i in members), counts))
    return sorted(found, key=lambda unit: unit.key)


def _ties(examples: Sequence[Example]) -> Iterable[tuple[int, int]]:
    for names in ([example.content for example in examples], [example.group for example in examples]):
        first: dict[Hashable, int] = {}
        for i, name in enumerate(names):
            if name is not None:
                yield i, first.setdefault(name, i)
    looked = [i for i, example in enumerate(examples) if example.look]
    yield from ((looked[i], looked[j]) for i, j in near_copies([examples[i].look for i in looked]))
