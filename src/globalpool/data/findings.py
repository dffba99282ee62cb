"""What is wrong with a data set, and what to do next."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """``file``: which one, as it can be typed; ``cause``: what is wrong with it; ``command``: what to run next.

    ``kind``: the same words for all findings of one kind. An "error" stands in the way of training, a "warning" not.
    """

    severity: Severity
    kind: str
    file: str
    cause: str
    command: str

    def __str__(self) -> str:
        end = "" if self.cause.endswith("?") else "."
        return f"{self.severity}: {self.file}: {self.cause}{end} Next: {self.command}"


@dataclass(frozen=True)
class DataCheck:
    """``findings``: errors first; ``summary``: lines about classes, sizes and the split, where it could be read."""

    findings: tuple[Finding, ...]
    summary: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What stands in the way of training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def error(kind: str, file: Path | str, cause: str, command: str) -> Finding:
    """A finding that stands in the way of training."""
    return Finding("error", kind, str(file), cause, command)


def warning(kind: str, file: Path | str, cause: str, command: str) -> Finding:
    """A finding that does not."""
    return Finding("warning", kind, str(file), cause, command)


def shell(*words: str | Path) -> str:
    """The words as a command that a POSIX shell takes, file names quoted where they need it."""
    return shlex.join(str(word) for word in words)


def listed(names: list[str] | tuple[str, ...], most: int = 3) -> str:
    """``a, b, c and 4 more``."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
