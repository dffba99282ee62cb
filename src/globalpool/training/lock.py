"""One process at a time works in a run, by a lock that the kernel gives back however the process ends."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from globalpool.errors import TrainingError

#: Locked by this process: the kernel's lock keeps other processes out, not a second caller here.
_OWN: set[Path] = set()
BUSY, UNABLE = (errno.EACCES, errno.EAGAIN), (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def locked(file: Path, run: Path) -> Iterator[bool]:
    """``file`` locked meanwhile, made where it is missing; False where its file system has no locks.

    TrainingError, naming ``run`` and the process that holds it, where it is locked already. The lock belongs to this
    process alone (``fcntl.lockf``): workers forked from it do not keep it when it dies.
    """
    own = file.resolve()
    if own in _OWN:
        raise _busy(run, "this process itself")
    descriptor = os.open(own, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        able = True
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in BUSY:
                holder = os.read(descriptor, 64).decode(errors="replace").strip()
                raise _busy(run, f"process {holder}" if holder else "another process") from error
            if error.errno not in UNABLE:
                raise
            able = False
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        _OWN.add(own)
        try:
            yield able
        finally:
            _OWN.discard(own)
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)  # which also unlocks


def _busy(run: Path, who: str) -> TrainingError:
    hint = "Wait until it is done, or stop it; then resume."
    return TrainingError(str(run), "a run that nobody is working on", f"one in which {who} is at work", hint)
