"""torch's own threads: its OpenMP team, which is awake already where one of torch's operations came just before.

Threads beside that team are in its way: its members wait busily for some milliseconds after each of torch's operations.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Any

import torch

_member = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _entry() -> Any:
    """``GOMP_parallel`` as torch has loaded it (GCC's and LLVM's OpenMP offer it); None where there is none."""
    if not torch.backends.openmp.is_available():
        return None
    try:
        entry = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):  # no such symbol; Windows has no name for the process itself
        return None
    entry.argtypes, entry.restype = (_member, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint), None
    return entry


_parallel = _entry()


def _forget() -> None:
    """In a forked child: the members are not inherited, and waiting for them would never end."""
    global _parallel
    _parallel = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def available() -> bool:
    """Whether this process can hand work to torch's threads."""
    return _parallel is not None


def together(threads: int, work: Callable[[], None]) -> None:
    """Call ``work`` once on each of at most ``threads`` members, the caller among them; the first error is raised."""
    errors: list[BaseException] = []

    def member(_: object) -> None:
        try:
            work()
        except BaseException as error:  # an interrupt too: nothing may leave through OpenMP's frames
            errors.append(error)

    _parallel(_member(member), None, threads, 0)
    if errors:
        raise errors[0]
