"""A folder with one subfolder of pictures a class, split by content into pictures to fit and pictures to judge on."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from globalpool.classifier import InputSpec
from globalpool.data import find_pictures, prepare, read_picture
from globalpool.errors import DataError

LAYOUT = "Put the pictures of each class into a subfolder named after it."


@dataclass(frozen=True)
class Labelled:
    """A readable picture: its class by number, and the SHA-256 of its shape and pixels."""

    file: Path
    class_id: int
    content: str


@dataclass(frozen=True)
class ClassFolder:
    """``classes`` in sorted order; ``left_out``: (path, reason) of files that are not used."""

    folder: Path
    classes: tuple[str, ...]
    pictures: tuple[Labelled, ...]
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Batches:
    """Pictures as batches ``(x (B, 3, size, size), y (B,))``, read anew at each iteration."""

    pictures: tuple[Labelled, ...]
    spec: InputSpec
    size: int
    batch_size: int

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for begin in range(0, len(self.pictures), self.batch_size):
            part = self.pictures[begin : begin + self.batch_size]
            x = torch.cat([prepare(read_picture(picture.file), self.spec, self.size) for picture in part])
            yield x, torch.tensor([picture.class_id for picture in part])


def read_classes(folder: Path) -> ClassFolder:
    """Every picture below every subfolder, read once; those of two classes at once are left out, as unreadable ones."""
    if not folder.is_dir():
        got = "a file" if folder.exists() else "no such folder"
        raise DataError(str(folder), "a folder with one subfolder a class", got, LAYOUT)
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    classes = [path for path in inside if path.is_dir()]
    if len(classes) < 2:
        got = f"{len(classes)}" + (f", {classes[0].name}" if classes else "")
        raise DataError(str(folder), "subfolders of at least two classes", got, LAYOUT)
    pictures: list[Labelled] = []
    left_out = [(path.name, "not in the subfolder of a class") for path in inside if not path.is_dir()]
    for class_id, subfolder in enumerate(classes):
        found = find_pictures(subfolder)
        if not found.files:
            got = f"none among {len(found.passed_over)} files"
            raise DataError(str(subfolder), "at least one picture", got, "Add pictures or remove the folder.")
        left_out += [(_below(path, folder), reason) for path, reason in found.unlisted]
        left_out += [(_below(path, folder), "not a picture's suffix") for path in found.passed_over]
        for file in found.files:
            try:
                pixels = read_picture(file).pixels
            except DataError as error:
                left_out.append((_below(file, folder), f"expected {error.expected}; got {error.got}"))
                continue
            content = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
            pictures.append(Labelled(file, class_id, content))
    return _of_one_class(ClassFolder(folder, tuple(path.name for path in classes), tuple(pictures), tuple(left_out)))


def split(data: ClassFolder, share: float) -> tuple[tuple[Labelled, ...], tuple[Labelled, ...]]:
    """Pictures to fit and to judge on: of each class, the ``share`` with the smallest content is judged on.

    The content alone decides, so names, order and machine do not matter, and copies of a picture stay together.
    """
    if not 0 < share < 1:
        raise DataError("--share", "a share between 0 and 1", f"{share}", "0.2 judges on a fifth of each class.")
    judged: set[str] = set()
    for class_id, name in enumerate(data.classes):
        contents = sorted({picture.content for picture in data.pictures if picture.class_id == class_id})
        if len(contents) < 2:
            hint = "Add pictures, or give a folder to judge on by --test."
            where = str(data.folder / name)
            raise DataError(where, "at least two different readable pictures", f"{len(contents)}", hint)
        judged |= set(contents[: min(len(contents) - 1, math.ceil(share * len(contents)))])
    fitted = tuple(picture for picture in data.pictures if picture.content not in judged)
    return fitted, tuple(picture for picture in data.pictures if picture.content in judged)


def apart(data: ClassFolder, test: ClassFolder) -> ClassFolder:
    """``data`` without the pictures that ``test`` holds too; DataError where classes differ or one is left empty."""
    if data.classes != test.classes:
        odd = sorted(set(data.classes) ^ set(test.classes))
        raise DataError(str(test.folder), f"the classes of {data.folder}", f"a difference in {', '.join(odd)}", LAYOUT)
    judged = {picture.content for picture in test.pictures}
    both = [picture for picture in data.pictures if picture.content in judged]
    pictures = tuple(picture for picture in data.pictures if picture.content not in judged)
    for class_id, name in enumerate(data.classes):
        if not any(picture.class_id == class_id for picture in pictures):
            hint = "Add pictures that are not in the folder judged on."
            raise DataError(str(data.folder / name), "at least one readable picture to fit", "none", hint)
    left_out = tuple((_below(picture.file, data.folder), "also in the folder judged on") for picture in both)
    return replace(data, pictures=pictures, left_out=data.left_out + left_out)


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _of_one_class(data: ClassFolder) -> ClassFolder:
    """Without the pictures whose copies lie in two classes: whichever side they fell on, a label would be wrong."""
    seen: dict[str, set[int]] = {}
    for picture in data.pictures:
        seen.setdefault(picture.content, set()).add(picture.class_id)
    twice = [picture for picture in data.pictures if len(seen[picture.content]) > 1]
    left_out = tuple(
        (
            _below(picture.file, data.folder),
            f"the same picture in {' and '.join(data.classes[i] for i in sorted(seen[picture.content]))}",
        )
        for picture in twice
    )
    pictures = tuple(picture for picture in data.pictures if len(seen[picture.content]) == 1)
    return replace(data, pictures=pictures, left_out=data.left_out + left_out)
