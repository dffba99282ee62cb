"""Following a forward pass from one child of a model to the next."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

#: The row of what a model does between its children.
ITSELF = "(itself)"


def homes(model: nn.Module) -> dict[nn.Module, str]:
    """The row of every module: the child of ``model`` it is or lies in, the first of several."""
    found = {model: ITSELF}
    for name, child in model.named_children():
        for part in child.modules():
            found.setdefault(part, name)
    return found


@contextmanager
def following(model: nn.Module, arrive: Callable[[str], None]) -> Iterator[None]:
    """Calls ``arrive(row)`` whenever a forward of ``model`` passes from one row into another, and at its end.

    By hooks for all modules, which are removed again: those of the model stay as they are. What a child does counts
    as the child's even when it is called from another one.
    """
    home = homes(model)
    stack: list[str] = []

    def enter(module: nn.Module, inputs: Any) -> None:
        if module in home:
            if home[module] != (stack[-1] if stack else ITSELF):
                arrive(home[module])
            stack.append(home[module])

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        if module in home:
            left = stack.pop()
            now = stack[-1] if stack else ITSELF
            if left != now:
                arrive(now)

    handles = [
        register_module_forward_pre_hook(enter),
        register_module_forward_hook(leave, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
