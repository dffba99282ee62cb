"""Which files there are below some paths."""

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from globalpool.errors import DataError


@dataclass(frozen=True)
class Found:
    """Files to read, in sorted order; files passed over for their suffix; folders that cannot be listed."""

    files: tuple[Path, ...]
    passed_over: tuple[Path, ...] = ()
    unlisted: tuple[tuple[Path, str], ...] = ()


def find_files(paths: str | Path | Iterable[str | Path], suffixes: Collection[str] | None) -> Found:
    """The given files, and all files with one of the suffixes in the given folders and below, each once.

    ``suffixes``: lower case with their dot; None takes any. A path that does not exist is kept: reading it gives the
    error its row in the report. Links to folders are followed, each folder is searched once; hidden files and folders
    are passed over.
    """
    files: dict[Path, None] = {}
    passed_over: dict[Path, None] = {}
    unlisted: list[tuple[Path, str]] = []
    searched: set[str] = set()
    for path in (paths,) if isinstance(paths, str | Path) else paths:
        if str(path) == "":
            raise DataError("find_files", "paths of files or folders", "an empty one", "Write . for this folder.")
        path = Path(path)
        if not holds(path.is_dir):
            files[path] = None
            continue
        for folder, folders, names in os.walk(
            path, followlinks=True, onerror=lambda error: unlisted.append((Path(str(error.filename)), str(error)))
        ):
            if os.path.realpath(folder) in searched:
                folders.clear()
                continue
            searched.add(os.path.realpath(folder))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                known = not name.startswith(".") and (suffixes is None or has_suffix(name, suffixes))
                (files if known else passed_over)[Path(folder, name)] = None
    return Found(tuple(files), tuple(path for path in passed_over if path not in files), tuple(unlisted))


def has_suffix(name: str, suffixes: Collection[str]) -> bool:
    """Whether the name ends in one of them, which may have two parts, as .nii.gz has."""
    return any(name.lower().endswith(suffix) and len(name) > len(suffix) for suffix in suffixes)


def holds(question: Callable[[], bool]) -> bool:
    """The answer, or False where the operating system refuses to give one (no permission, a name too long)."""
    try:
        return question()
    except OSError:
        return False
