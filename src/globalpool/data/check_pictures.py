"""What the pictures of a data set show about it: sizes, colours, balance, copies."""

from collections import Counter
from pathlib import Path
from statistics import median

from globalpool.data.examples import Example, Examples
from globalpool.data.findings import Finding, listed, shell, warning
from globalpool.data.labelled import PARTS
from globalpool.data.near import near_copies

#: A side below which networks of stride 32 see one position, in pixels; aspect ratios above which squares squeeze much.
TINY, LONG = 32, 4.0
#: Pictures of the largest class over those of the smallest; different pictures of a class below which nothing is sure.
UNBALANCED, FEW = 10, 20


def picture_findings(source: Path, data: Examples) -> list[Finding]:
    """Warnings about the readable pictures of ``source``, a folder or a table."""
    found = [_sizes(source, data), _colours(data), _balance(source, data), _copies(source, data), _names(source, data)]
    return [finding for part in found for finding in part]


def class_place(source: Path, name: str) -> Path:
    """What to name in a finding about a class: its folder, or the table."""
    if not source.is_dir():
        return source
    places = [source, *sorted(path for path in source.iterdir() if path.is_dir())]
    parts = [place for place in places if (place / name).is_dir()]
    return min(parts, key=lambda place: PARTS.get(place.name.lower(), "") != "train") / name if parts else source


def adding(source: Path, name: str) -> str:
    """The command that brings more pictures of a class."""
    place = class_place(source, name)
    return f"cp MORE/* {shell(place)}" if source.is_dir() else shell("globalpool", "check", source)


def dropping(source: Path, file: Path) -> str:
    """The command that takes a picture out, or finds its row in the table."""
    return shell("rm", file) if source.is_dir() else shell("grep", "-n", file.name, source)


def _sizes(source: Path, data: Examples) -> list[Finding]:
    found = []
    for example in data.examples:
        height, width = example.size
        if min(height, width) < TINY:
            cause = f"{width} x {height} pixels; below {TINY} most networks see a single position"
            found.append(warning("tiny picture", example.path, cause, shell("ls", "-l", example.path)))
        elif max(height, width) > LONG * min(height, width):
            cause = f"{width} x {height} pixels, an aspect ratio of {max(height, width) / min(height, width):.1f}"
            command = f"{shell('globalpool', 'train', source)} --out RUN --size native"
            found.append(warning("long picture", example.path, cause, command))
    own = _by_class(data)
    sizes = [{example.size for example in examples} for examples in own.values()]
    if len(own) > 1 and all(len(one) == 1 for one in sizes) and len(set.union(*sizes)) == len(sizes):
        first = next(iter(own.values()))[0]
        cause = "every class has a size of its own, so the size alone tells the class"
        found.append(
            warning(
                "size tells the class",
                first.path,
                cause,
                f"{shell('globalpool', 'train', source)} --out RUN --size 224",
            )
        )
    return found


def _colours(data: Examples) -> list[Finding]:
    grey = [example for example in data.examples if example.grey]
    if not grey or len(grey) == len(data):
        return []
    shares = {name: sum(one.grey for one in own) / len(own) for name, own in _by_class(data).items() if own}
    whole = [name for name, share in shares.items() if share == 1]
    if whole and all(share in (0, 1) for share in shares.values()):
        cause = f"all pictures of {listed(whole)} are grey and no others, so colour alone tells the class"
    else:
        cause = f"{len(grey)} of {len(data)} pictures are grey, the others in colour"
    return [warning("grey and colour", grey[0].path, cause, shell("globalpool", "explain", grey[0].path))]


def _balance(source: Path, data: Examples) -> list[Finding]:
    counts = {name: len({one.content for one in own}) for name, own in _by_class(data).items()}
    filled = {name: count for name, count in counts.items() if count}
    found = []
    if filled:
        least, most = min(filled, key=lambda name: filled[name]), max(filled, key=lambda name: filled[name])
        if filled[most] > UNBALANCED * filled[least]:
            cause = f"class {least} has {filled[least]} pictures, {most} {filled[most]}; accuracy hides the smaller one"
            place = class_place(source, least)
            found.append(warning("unbalanced classes", place, cause, adding(source, least)))
    for name, count in filled.items():
        if count < FEW:
            pictures = f"{count} different picture{'s' * (count > 1)}"
            cause = f"class {name} has {pictures}; figures on so few are uncertain"
            found.append(warning("few pictures", class_place(source, name), cause, adding(source, name)))
    return found


def _copies(source: Path, data: Examples) -> list[Finding]:
    found = []
    first: dict[str, Example] = {}
    for example in data.examples:
        other = first.setdefault(example.content, example)
        if other is example:
            continue
        if other.part == example.part:
            cause = f"a copy of {other.path.name}, and counts once in the split"
            found.append(warning("copy", example.path, cause, dropping(source, example.path)))
        else:
            cause = f"a copy of {other.path}: the same picture in {other.part} and {example.part}"
            trained = example if example.part == "train" else other
            found.append(warning("copy across the split", example.path, cause, dropping(source, trained.path)))
    if any(example.part for example in data.examples):
        for i, j in near_copies([example.look for example in data.examples]):
            one, other = data.examples[i], data.examples[j]
            if one.part != other.part and one.content != other.content:
                cause = f"nearly the same as {one.path}: {one.part} and {other.part} share it"
                trained = other if other.part == "train" else one
                found.append(warning("near copy across the split", other.path, cause, dropping(source, trained.path)))
    return found


def _names(source: Path, data: Examples) -> list[Finding]:
    found = []
    first: dict[str, str] = {}
    for name in data.classes:
        plain = "".join(name.split()).casefold().replace("_", "").replace("-", "")
        other = first.setdefault(plain, name)
        if other != name:
            cause = f"class {name!r} differs from {other!r} by case, blanks or dashes alone"
            places = class_place(source, name), class_place(source, other)
            command = f"mv {shell(places[0])}/* {shell(places[1])}"
            command = command if source.is_dir() else shell("grep", "-n", name, source)
            found.append(warning("names alike", places[0], cause, command))
    if all(name.isdecimal() for name in data.classes) and list(data.classes) != sorted(data.classes, key=int):
        wide = max(map(len, data.classes))
        short = min(data.classes, key=len)
        cause = f"names of digits are sorted as text: {listed(data.classes)}, so class numbers are not the names"
        place = class_place(source, short)
        command = shell("mv", place, place.with_name(short.zfill(wide)))
        command = command if source.is_dir() else shell("grep", "-n", short, source)
        found.append(warning("names of digits", place, cause, command))
    return found


def size_line(data: Examples) -> str:
    """Heights and widths: how many different ones, smallest, median and largest."""
    sizes = Counter(example.size for example in data.examples)
    heights, widths = ([example.size[axis] for example in data.examples] for axis in (0, 1))
    height, width = (f"{min(own)} to {max(own)} (median {median(own):g})" for own in (heights, widths))
    return f"sizes: {len(sizes)} different; widths {width}, heights {height} pixels"


def _by_class(data: Examples) -> dict[str, list[Example]]:
    own: dict[str, list[Example]] = {name: [] for name in data.classes}
    for example in data.examples:
        for label in example.labels:
            own[data.classes[label]].append(example)
    return own
