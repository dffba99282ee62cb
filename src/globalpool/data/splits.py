"""Training, validation and test without leaks: what belongs together stays together, and content alone decides."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from globalpool.data.examples import Example, Examples, Part
from globalpool.data.labelled import below
from globalpool.data.units import Unit, units
from globalpool.errors import DataError

RULE = "by content: the smallest SHA-256 of the content in each class; copies, near copies and groups stay together"
GIVEN = "as given by the data; training pictures that validation or test hold too are not used"

PARTS: tuple[Part, ...] = ("train", "validation", "test")
MORE = "Add pictures of other things, or give a split of your own: folders train, val and test, or a column split."
NUMBERS = ("no", "one", "two", "three")


@dataclass(frozen=True)
class Split:
    """Positions in ``Examples.examples``, ascending; ``rule``: how they were chosen.

    ``left_out``: (path, reason) of examples that are in no part.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    rule: str
    left_out: tuple[tuple[str, str], ...] = ()

    def part(self, name: Part) -> tuple[int, ...]:
        """The positions of one part."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def split_examples(data: Examples, *, validation: float = 0.15, test: float = 0.15) -> Split:
    """The split that the data give, or one made: of each class those shares of its different pictures.

    Copies of a picture (the same decoded pixels), near copies (``near`` says which are found) and the examples of a
    group lie in one part. Names, order and machine do not matter; a picture more moves few others. Shares are rounded
    up, and each class keeps a picture to train on; for several labels the rarest is dealt first.

    A given split is kept; where it names no validation, that share of its training pictures is taken by the same
    rule, where it names no test, there is none. DataError where a class has too few pictures that may part.
    """
    for name, share in (("validation", validation), ("test", test)):
        if not 0 <= share < 1 or validation + test >= 1:
            got = f"{share}" if not 0 <= share < 1 else f"{validation} + {test} = {validation + test:g}"
            hint = "0.15 holds out 15 % of each class."
            raise DataError(f"`{name}`", "a share of at least 0, both together below 1", got, hint)
    parts = {example.part for example in data.examples}
    if parts == {None} or not parts:
        train, tested, validated = _dealt(data, range(len(data)), (test, validation))
        return Split(train, validated, tested, f"{RULE}; {validation:g} validation, {test:g} test")
    return _given(data, validation)


def held_out(data: Examples, share: float, hint: str = MORE) -> Split:
    """A split into pictures to fit (train) and to judge on (test) alone; a given validation is judged on as well.

    ``hint``: what the error about a class of too few pictures advises.
    """
    if any(example.part for example in data.examples):
        split = _given(data, 0)
        return replace(split, validation=(), test=tuple(sorted(split.validation + split.test)))
    fitted, judged, _ = _dealt(data, range(len(data)), (share, 0), hint)
    return Split(fitted, (), judged, RULE)


def apart(data: Examples, judged: Examples) -> Examples:
    """``data`` without the pictures that ``judged`` holds too; DataError where classes differ or one is left empty."""
    if data.classes != judged.classes:
        odd = sorted(set(data.classes) ^ set(judged.classes))
        hint = "Put the pictures of each class into a subfolder named after it."
        raise DataError(str(judged.root), f"the classes of {data.root}", f"a difference in {', '.join(odd)}", hint)
    known = {example.content for example in judged.examples}
    both = [example for example in data.examples if example.content in known]
    kept = tuple(example for example in data.examples if example.content not in known)
    _check_each_class(data, kept)
    left_out = tuple((below(example.path, data.root), "also in the folder judged on") for example in both)
    return replace(data, examples=kept, left_out=data.left_out + left_out)


def _check_each_class(data: Examples, kept: tuple[Example, ...]) -> None:
    filled = {label for example in kept for label in example.labels}
    for class_id, name in enumerate(data.classes):
        if class_id not in filled:
            hint = f"Add {data.word}s that are not in the folder judged on."
            raise DataError(str(data.root / name), f"at least one readable {data.word} to fit", "none", hint)


def _given(data: Examples, validation: float) -> Split:
    held: dict[str, Part] = {}
    for example in data.examples:
        if example.part in ("validation", "test"):
            held[example.content] = "test" if "test" in (example.part, held.get(example.content)) else "validation"
    chosen: dict[Part, list[int]] = {"train": [], "validation": [], "test": []}
    left_out = []
    for i, example in enumerate(data.examples):
        assert example.part is not None
        place = held.get(example.content, "train")
        if place == example.part:
            chosen[place].append(i)
        else:
            left_out.append((below(example.path, data.root), f"its copy is in the {place} part"))
    rule = GIVEN
    kept = tuple(data.examples[i] for i in chosen["train"])
    _check_each_class(data, kept)
    if not chosen["validation"] and validation:
        rule += f"; {validation:g} of training for validation {RULE}"
        train, taken, _ = _dealt(data, chosen["train"], (validation, 0))
        chosen["train"], chosen["validation"] = list(train), list(taken)
    train, held_back, judged = (tuple(chosen[name]) for name in PARTS)
    return Split(train, held_back, judged, rule, tuple(left_out))


def _dealt(
    data: Examples, positions: Iterable[int], shares: tuple[float, float], hint: str = MORE
) -> tuple[tuple[int, ...], ...]:
    """Positions of the rest, of the first share and of the second."""
    own = list(positions)
    found = units([data.examples[i] for i in own])
    place: dict[str, int] = {}
    having: dict[int, list[Unit]] = {class_id: [] for class_id in range(len(data.classes))}
    for unit in found:
        for class_id in unit.counts:
            having[class_id].append(unit)
    for class_id in sorted(having, key=lambda k: (sum(unit.counts[k] for unit in having[k]), data.classes[k])):
        _check_enough(data, class_id, having[class_id], 1 + sum(share > 0 for share in shares), hint)
        _deal_class(class_id, having[class_id], shares, place)
    parts: list[list[int]] = [[], [], []]
    for unit in found:
        parts[place.get(unit.key, 0)] += [own[i] for i in unit.members]
    return tuple(tuple(sorted(part)) for part in parts)


def _deal_class(class_id: int, own: list[Unit], shares: tuple[float, float], place: dict[str, int]) -> None:
    """Give the units of a class that have no part yet one of 1, 2 (the shares) or 0 (the rest), in their order."""
    total = sum(unit.counts[class_id] for unit in own)
    got = [sum(unit.counts[class_id] for unit in own if place.get(unit.key) == part) for part in range(3)]
    free = [unit for unit in own if unit.key not in place]
    for part, share in enumerate(shares, start=1):
        wanted = math.ceil(round(share * total, 9))
        # Units that the later share and the rest still need.
        spare = sum(other > 0 and not got[later] for later, other in enumerate(shares[part:], start=part + 1))
        left = len(free) - spare - (not got[0])
        order = [*free, *sorted(free, key=lambda unit: unit.counts[class_id])[:1]]
        for number, unit in enumerate(order):
            count = unit.counts[class_id]
            # A large group goes in where that comes closer to the share than leaving it out, or nothing else went in.
            fits = 2 * (wanted - got[part]) >= count or (number == len(free) and not got[part])
            if share and left > 0 and got[part] < wanted and fits and unit.key not in place:
                place[unit.key], got[part], left = part, got[part] + count, left - 1
        free = [unit for unit in free if unit.key not in place]
    place.update((unit.key, 0) for unit in free)


def _check_enough(data: Examples, class_id: int, own: list[Unit], least: int, hint: str) -> None:
    if len(own) >= least or (data.multi_label and own):
        return
    count = sum(unit.counts[class_id] for unit in own)
    expected = f"at least {NUMBERS[least]} different readable {data.word}s"
    # Where nothing at all can be read, why is the first thing to know.
    got = f"{count}" if data.examples or not data.left_out else f"0; {': '.join(data.left_out[0]).rstrip('.')}"
    if count > len(own):
        got = f"{count} in {len(own)} group{'s' * (len(own) > 1)} or sets of near copies, which stay together"
    raise DataError(str(data.root / data.classes[class_id]), expected, got, hint.replace("pictures", f"{data.word}s"))
