"""Work shared out over threads: torch's own, or a pool of ours where those cannot be used.

Numba's workqueue aborts when two Python threads call it. Loops here release the interpreter's lock instead and are
called by several threads. OpenMP hangs in a forked child: there the threads are ours, which a child builds anew.
"""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import torch

from globalpool.kernels import team

_lock = Lock()
_pool: ThreadPoolExecutor | None = None
_size = 0


def _forget() -> None:
    """In a forked child: threads are not inherited, and the lock may be held by one that is gone."""
    global _lock, _pool, _size
    _lock, _pool, _size = Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _helpers(count: int, work: Callable[[], None]) -> list[Future[None]]:
    """``work`` handed to ``count`` threads of the pool, which grows to what is asked for."""
    global _pool, _size
    with _lock:
        if _pool is None or _size < count:
            old, _pool = _pool, ThreadPoolExecutor(count, thread_name_prefix="globalpool")
            _size = count
            if old is not None:
                old.shutdown(wait=False)
        return [_pool.submit(work) for _ in range(count)]


def share_out(parts: int, work: Callable[[int], object]) -> None:
    """Call ``work(0)`` to ``work(parts - 1)``, each once, on as many threads as torch uses; the caller is one of them.

    Which thread takes a part is not fixed, so parts must write to places of their own. The first error is raised.
    """
    threads = min(torch.get_num_threads(), parts)
    if threads <= 1:
        for part in range(parts):
            work(part)
        return
    counter = itertools.count()  # its next() is one step under the interpreter's lock

    def take() -> None:
        while (part := next(counter)) < parts:
            work(part)

    if team.available():
        team.together(threads, take)
        return
    helpers = _helpers(threads - 1, take)
    try:
        take()
    finally:
        # A helper that has not begun would find nothing left to do: other callers may hold the threads meanwhile.
        running = [helper for helper in helpers if not helper.cancel()]
        errors = [error for helper in running if (error := helper.exception()) is not None]
    if errors:
        raise errors[0]
