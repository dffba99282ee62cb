"""Loops over positions, compiled by Numba where it is installed."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """``function`` compiled by Numba (extra ``[fast]``), or itself: the same results, some hundred times slower.

    The plain function stays at ``.py_func``, as Numba has it.
    """
    try:
        numba = import_module("numba")
    except ImportError:
        function.py_func = function  # type: ignore[attr-defined]
        return function
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # no folder that compiled code may be kept in
        return cast(F, numba.njit(nogil=True)(function))
