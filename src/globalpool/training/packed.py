"""Nested state as named tensors and a tree that JSON can hold, and back."""

from typing import Any

from torch import Tensor

#: None, numbers, words, lists and dicts. A dict is written as pairs, since keys may be numbers.
Tree = Any


def pack(state: Any) -> tuple[dict[str, Tensor], Tree]:
    """Tensors by the path that leads to them, and the rest; TypeError for what is neither."""
    tensors: dict[str, Tensor] = {}
    return tensors, _pack(state, "", tensors)


def _pack(value: Any, path: str, tensors: dict[str, Tensor]) -> Tree:
    if isinstance(value, Tensor):
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, dict):
        return {"pairs": [[key, _pack(entry, f"{path}/{key}".strip("/"), tensors)] for key, entry in value.items()]}
    if isinstance(value, list | tuple):
        return [_pack(entry, f"{path}/{index}", tensors) for index, entry in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{path} is a {type(value).__name__}; a checkpoint holds tensors, numbers, words, lists and dicts.")


def unpack(tensors: dict[str, Tensor], tree: Tree) -> Any:
    """What ``pack`` was given; tuples come back as lists."""
    if isinstance(tree, list):
        return [unpack(tensors, entry) for entry in tree]
    if isinstance(tree, dict):
        if "tensor" in tree:
            return tensors[tree["tensor"]]
        return {key: unpack(tensors, entry) for key, entry in tree["pairs"]}
    return tree
