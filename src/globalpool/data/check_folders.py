"""Mistakes in how a folder of classes is laid out; no picture is opened."""

from pathlib import Path

from PIL import Image

from globalpool.data.findings import Finding, error, listed, shell, warning
from globalpool.data.folders import NO_SUFFIX, STRAY, ClassFolders
from globalpool.data.images import FORMATS, SUFFIXES, find_pictures
from globalpool.data.labelled import PARTS, Labelled
from globalpool.data.tables import TABLE_SUFFIXES


def layout_findings(root: Path) -> list[Finding]:
    """What makes the folder no data set at all."""
    if not root.is_dir():
        return [error("no folder", root, "no such folder or file", shell("ls", root.parent))]
    inside = _visible(root)
    folders = [path for path in inside if path.is_dir()]
    if not folders:
        return [_without_subfolders(root, inside)]
    parts = [folder for folder in folders if folder.name.lower() in PARTS]
    given = {PARTS[folder.name.lower()] for folder in parts}
    if "train" in given and len(parts) > 1:
        return _mixed_parts(root, folders, parts)
    if swapped := [folder for folder in folders if _holds_parts(folder)]:
        first = swapped[0]
        part = next(path for path in _folders(first) if path.name.lower() in PARTS)
        cause = "folders for training and test lie below the classes; they belong above them"
        command = f"{shell('mkdir', '-p', root / part.name)} && {shell('mv', part, root / part.name / first.name)}"
        return [error("swapped folders", part, cause, command)]
    if len(folders) == 1:
        (only,) = folders
        if len(_folders(only)) > 1:
            cause = f"holds one folder, {only.name}, and the classes lie below that"
            return [error("classes lie deeper", root, cause, shell("globalpool", "check", only))]
        cause = f"holds one class only, {only.name}; a classifier tells at least two apart"
        return [error("one class", root, cause, shell("mkdir", root / "another_class"))]
    return []


def _without_subfolders(root: Path, inside: list[Path]) -> Finding:
    pictures = [path for path in inside if path.suffix.lower() in SUFFIXES]
    tables = [path for path in inside if path.suffix.lower() in TABLE_SUFFIXES]
    if tables:
        cause = f"has no subfolder a class, but a table, {tables[0].name}"
        return error("no classes", root, cause, shell("globalpool", "check", tables[0]))
    if not pictures:
        what = "is empty" if not inside else "holds neither subfolders nor pictures"
        command = shell("mkdir", root / "first_class", root / "second_class")
        return error("empty folder", root, what, command)
    beside = [path for path in _folders(root.resolve().parent) if path.name != root.resolve().name]
    if any(file.suffix.lower() in SUFFIXES for path in beside for file in _visible(path)):
        cause = f"holds pictures but no subfolder a class; it looks like one class of {root.parent}"
        return error("no classes", root, cause, shell("globalpool", "check", root.parent))
    cause = f"holds {len(pictures)} pictures but no subfolder a class"
    command = f"{shell('mkdir', root / 'a_class')} && {shell('mv', pictures[0], root / 'a_class')}"
    return error("no classes", root, cause, command)


def _mixed_parts(root: Path, folders: list[Path], parts: list[Path]) -> list[Finding]:
    train = next(folder for folder in parts if PARTS[folder.name.lower()] == "train")
    found = []
    for folder in folders:
        if folder not in parts:
            cause = f"lies beside {listed([part.name for part in parts])}: a class, or part of the split?"
            found.append(error("classes beside parts", folder, cause, shell("mv", folder, train)))
    first: dict[str, Path] = {}
    for folder in parts:
        other = first.setdefault(PARTS[folder.name.lower()], folder)
        if other is not folder:
            cause = f"means the same part of the split as {other.name}"
            found.append(error("a part twice", folder, cause, shell("cp", "-r", f"{folder}/.", other)))
    return found


def class_findings(root: Path, found: ClassFolders, files: list[Labelled]) -> list[Finding]:
    """About the classes of a folder that is laid out well."""
    findings = []
    pictures = {(entry.part, entry.labels[0]) for entry in files}
    given = {part: folder.parent for part, _, folder in found.folders if part is not None}
    present = {(part, name) for part, name, _ in found.folders}
    for part, name, folder in found.folders:
        if (part, name) not in pictures:
            passed = find_pictures(folder).passed_over
            suffixes = sorted({path.suffix or path.name for path in passed})
            cause = f"holds no picture among {len(passed)} files ({listed(suffixes)})" if passed else "an empty class"
            command = shell("ls", folder) if passed else shell("rmdir", folder)
            needed = part in (None, "train")
            findings.append((error if needed else warning)("class without pictures", folder, cause, command))
        elif not any(entry.file.parent == folder for entry in files) and len(_folders(folder)) > 1:
            inner = [path.name for path in _folders(folder)]
            cause = f"its subfolders {listed(inner)} are read as one class, {name}"
            findings.append(warning("folders below a class", folder, cause, shell("globalpool", "check", folder)))
    for part, folder in given.items():
        for name in found.classes:
            if (part, name) in present:
                continue
            source = next(path for _, other, path in found.folders if other == name)
            if part == "train":
                cause = f"class {name} is in {source.parent.name} but not among the pictures to train on"
                command = shell("mv", source, folder / name)
                findings.append(error("class not trained on", source, cause, command))
            else:
                cause = f"has no pictures of class {name}, which cannot be judged there"
                command = shell("mkdir", folder / name)
                findings.append(warning("class not judged on", folder, cause, command))
    return findings


def stray_findings(root: Path, left_out: list[tuple[str, str]]) -> list[Finding]:
    """Files that are not used because of where they lie or how they are called."""
    findings = []
    for path, reason in left_out:
        file = root / path
        if reason == STRAY and file.suffix.lower() in SUFFIXES:
            cause = "a picture beside the folders of the classes is not used"
            folder = next(iter(_folders(file.parent)), root)
            findings.append(warning("picture outside a class", file, cause, shell("mv", file, folder)))
        elif reason == NO_SUFFIX:
            hidden = file.name.startswith(".")
            known = file.suffix.lower() in SUFFIXES
            if hidden and known:
                cause = "a hidden picture is not used"
                command = shell("mv", file, file.with_name(file.name.lstrip(".")))
                findings.append(warning("hidden picture", file, cause, command))
            elif not hidden and (suffix := _suffix_of(file)):
                cause = f"holds a {suffix[1:].upper()} picture but has no suffix; it is not used"
                command = shell("mv", file, file.with_name(file.name + suffix))
                findings.append(warning("no suffix", file, cause, command))
            elif not hidden:
                cause = f"{file.suffix or 'no suffix'} is not a picture's suffix; the file is not used"
                command = shell("mv", file, root.parent)
                findings.append(warning("no picture's suffix", file, cause, command))
        elif reason != STRAY:
            findings.append(warning("unlisted folder", file, f"cannot be listed ({reason})", shell("ls", "-ld", file)))
    for folder in sorted(path for path in root.rglob(".*") if path.is_dir()):
        if any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*")):
            cause = "a hidden folder with pictures is not used"
            visible = folder.with_name(folder.name.lstrip("."))
            findings.append(warning("hidden folder", folder, cause, shell("mv", folder, visible)))
    return findings


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _suffix_of(file: Path) -> str:
    """The suffix that a picture without one should have; empty for all other files."""
    if file.suffix:
        return ""
    try:
        with Image.open(file, formats=FORMATS) as image:
            return ".jpg" if image.format == "JPEG" else f".{str(image.format).lower()}"
    except (OSError, ValueError, SyntaxError):
        return ""


def _holds_parts(folder: Path) -> bool:
    """Whether a class's folder holds those of the split and nothing else."""
    inside = [path.name.lower() for path in _folders(folder)]
    return len(inside) > 1 and set(inside) <= set(PARTS) and "train" in {PARTS[name] for name in inside}
