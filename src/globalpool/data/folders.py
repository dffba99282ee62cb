"""A folder of pictures, one subfolder a class, with or without folders for training, validation and test above."""

from dataclasses import dataclass
from pathlib import Path

from globalpool.data.examples import Examples, Part
from globalpool.data.find import Found
from globalpool.data.images import find_pictures
from globalpool.data.kinds import InputKind
from globalpool.data.labelled import PARTS, Labelled, below, read_labelled
from globalpool.errors import DataError

LAYOUT = "Put the pictures of each class into a subfolder named after it."
NO_SUFFIX, STRAY = "not a picture's suffix", "not in the subfolder of a class"


@dataclass(frozen=True)
class ClassFolders:
    """``classes`` in sorted order; ``folders``: part (None: no split given), class and folder, all that exist."""

    classes: tuple[str, ...]
    folders: tuple[tuple[Part | None, str, Path], ...]
    left_out: tuple[tuple[str, str], ...]


def read_folder(path: str | Path, kind: type[InputKind] | None = None) -> Examples:
    """Every picture (or file of ``kind``) below every class's subfolder, decoded once.

    Where the folder holds ``train`` beside ``val`` (``valid``, ``validation``, ``dev``) or ``test``, each with the
    classes' subfolders, that split is kept in ``Example.part``. Files that cannot be read, have no picture's suffix or
    lie outside a class, and pictures of two classes at once are left out, with the reason. DataError for fewer than
    two classes, a class without a picture (with a split: for training), and folders of both kinds side by side.
    """
    root = Path(path)
    found = class_folders(root)
    files, left_out = list_files(root, found, kind)
    if errors := missing_classes(root, found, files, kind):
        raise errors[0]
    return read_labelled(root, found.classes, files, left_out, kind=kind)


def list_files(
    root: Path, found: ClassFolders, kind: type[InputKind] | None = None
) -> tuple[list[Labelled], list[tuple[str, str]]]:
    """The files to read, and (path, reason) of those that are none; nothing is opened."""
    files: list[Labelled] = []
    left_out = list(found.left_out)
    for part, name, folder in found.folders:
        inside = _found(folder, kind)
        left_out += [(below(odd, root), reason) for odd, reason in inside.unlisted]
        reason = NO_SUFFIX if kind is None else f"not a {kind.word}'s suffix"
        left_out += [(below(odd, root), reason) for odd in inside.passed_over]
        files += [Labelled(file, (name,), part=part) for file in inside.files]
    return files, left_out


def _found(folder: Path, kind: type[InputKind] | None) -> Found:
    return find_pictures(folder) if kind is None else kind.find([folder])


def missing_classes(
    root: Path, found: ClassFolders, files: list[Labelled], kind: type[InputKind] | None = None
) -> list[DataError]:
    """One error for each class without a picture to train on."""
    word = "picture" if kind is None else kind.word
    trained = {name for entry in files if entry.part in (None, "train") for name in entry.labels}
    folders = {name: folder for part, name, folder in found.folders if part in (None, "train")}
    errors = []
    for name in found.classes:
        if name not in folders:
            hint = f"Add {word}s to train on, or remove the class from the other parts."
            errors.append(DataError(str(root / name), "every class among the pictures to train on", f"no {name}", hint))
        elif name not in trained:
            got = f"none among {len(_found(folders[name], kind).passed_over)} files"
            hint = f"Add {word}s or remove the folder."
            errors.append(DataError(str(folders[name]), f"at least one {word}", got, hint))
    return errors


def class_folders(root: Path) -> ClassFolders:
    """Where the classes lie, before any file is opened; the errors of ``read_folder`` about folders."""
    inside, stray = _inside(root, root)
    parts = {folder.name: PARTS[folder.name.lower()] for folder in inside if folder.name.lower() in PARTS}
    if "train" not in parts.values() or len(parts) < 2:
        _check_classes(root, inside)
        return ClassFolders(
            tuple(folder.name for folder in inside), tuple((None, folder.name, folder) for folder in inside), stray
        )
    others = [folder.name for folder in inside if folder.name not in parts]
    if others or len(set(parts.values())) < len(parts):
        got = f"{', '.join(sorted(parts))}" + (f" beside {', '.join(others[:3])}" if others else "")
        hint = "Move every class into train, val and test, or remove those folders and let the split be made."
        raise DataError(str(root), "either classes or one folder each of train, val and test", got, hint)
    folders: list[tuple[Part | None, str, Path]] = []
    for folder in inside:
        below_part, odd = _inside(folder, root)
        folders += [(parts[folder.name], one.name, one) for one in below_part]
        stray += odd
    classes = sorted({name for _, name, _ in folders})
    _check_classes(root, [Path(name) for name in classes])
    return ClassFolders(tuple(classes), tuple(folders), stray)


def _inside(folder: Path, root: Path) -> tuple[list[Path], tuple[tuple[str, str], ...]]:
    """Subfolders in sorted order, and files beside them as left out."""
    if not folder.is_dir():
        got = "a file" if folder.exists() else "no such folder"
        raise DataError(str(folder), "a folder with one subfolder a class", got, LAYOUT)
    found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    stray = tuple((below(path, root), STRAY) for path in found if not path.is_dir())
    return [path for path in found if path.is_dir()], stray


def _check_classes(root: Path, classes: list[Path]) -> None:
    if len(classes) < 2:
        got = f"{len(classes)}" + (f", {classes[0].name}" if classes else "")
        raise DataError(str(root), "subfolders of at least two classes", got, LAYOUT)
