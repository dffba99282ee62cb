"""Names of models, pools and classes, turned into objects."""

import ast
import inspect
from collections.abc import Callable
from difflib import get_close_matches

import torch
from torch import Tensor

from globalpool import pools
from globalpool.classifier import PooledClassifier
from globalpool.errors import GlobalPoolError
from globalpool.models import efficientnet_lite0
from globalpool.training.architecture import Call

MODELS: dict[str, Callable[[], PooledClassifier]] = {"efficientnet_lite0": efficientnet_lite0}


def pool_names() -> dict[str, type[pools.Pool]]:
    """Command-line name of each pool in ``pools.ALL``, read at each call."""
    return {pool.__name__.lower(): pool for pool in pools.ALL}


def pool_named(text: str, channels: int) -> pools.Pool:
    """The pool written as ``mean``, ``grid(2, 2)`` or ``gem(p=4.0)``; ``channels`` goes to those that ask for it."""
    written = pool_call(text)
    pool, named = pool_names()[written.name.lower()], dict(written.settings or {})
    if "channels" in inspect.signature(pool).parameters and "channels" not in named:
        named["channels"] = channels
    try:
        return pool(*written.arguments, **named)
    except TypeError as error:
        hint = "As in mean, grid(2, 2) or gem(p=4.0)."
        raise GlobalPoolError("--pool", f"settings {pool.__name__} takes", f"{text!r}: {error}", hint) from error


def pool_call(text: str) -> Call:
    """The pool's class and what it is called with."""
    name = text.partition("(")[0].strip()
    known = pool_names()
    if name.lower() not in known:
        raise GlobalPoolError("--pool", "a name of `globalpool pools`", repr(name), guess(name.lower(), list(known)))
    written = call_named("--pool", "a pool", text, "As in mean, grid(2, 2) or gem(p=4.0).")
    return Call(known[name.lower()].__name__, written.arguments, written.settings)


def call_named(where: str, what: str, text: str, hint: str) -> Call:
    """A name with plain values in brackets, or without."""
    name, bracket, inside = (part.strip() for part in text.partition("("))
    try:
        call = ast.parse(f"f({inside}" if bracket else "f()", mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError("more than one call")
        positional = tuple(ast.literal_eval(entry) for entry in call.args)
        named = {str(entry.arg): ast.literal_eval(entry.value) for entry in call.keywords}
    except (ValueError, SyntaxError) as error:
        raise GlobalPoolError(where, f"{what} with plain numbers or words as settings", repr(text), hint) from error
    return Call(name, positional, named)


def classes_named(text: str, labels: tuple[str, ...] | None) -> str | Tensor:
    """``top<k>`` as it is; otherwise the ids ``(k,)`` of names or ids separated by commas."""
    if text.startswith("top") and text[3:].isdecimal():
        return text
    ids: list[int] = []
    for entry in (part.strip() for part in text.split(",")):
        if entry.isdecimal():
            ids.append(int(entry))
        elif labels is not None and entry in labels:
            same = [str(index) for index, label in enumerate(labels) if label == entry]
            if len(same) > 1:
                raise GlobalPoolError(
                    "--classes", "a name of one class", f"{entry!r}, ids {' and '.join(same)}", "Give an id."
                )
            ids.append(int(same[0]))
        else:
            raise GlobalPoolError(
                "--classes", "top1, top3, ..., class ids or class names", repr(entry), guess(entry, list(labels or ()))
            )
    return torch.tensor(list(dict.fromkeys(ids)))


def guess(name: str, known: list[str]) -> str:
    """A question with the known name that is closest, or nothing."""
    close = get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else ""
