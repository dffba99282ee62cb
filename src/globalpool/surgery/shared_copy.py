"""A copy of a model whose modules are its own and whose parameters and buffers are the model's."""

import random
from copy import copy
from typing import Any

from torch import nn

from globalpool.errors import AdoptionError


def shared_copy(model: nn.Module) -> nn.Module:
    """Modes, hooks and attributes of the copy can be set without the model noticing; its tensors are the same objects.

    Raises AdoptionError for a module that cannot be copied.
    """
    classes = {type(module) for module in model.modules()}
    forwards = {kind: vars(kind)["forward"] for kind in classes if "forward" in vars(kind)}
    numbers = random.getstate()  # torch_geometric.nn.Sequential writes a new forward for a copy, and draws its name
    try:
        return _copied(model, {})
    except Exception as error:
        got = f"{type(error).__name__}: {error}"[:300]
        raise AdoptionError("adopt", "a model whose modules can be copied", got) from error
    finally:
        random.setstate(numbers)
        for kind, forward in forwards.items():
            if vars(kind).get("forward") is not forward:
                kind.forward = forward


def _copied(module: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    if id(module) in made:
        return made[id(module)]
    twin = made[id(module)] = copy(module)
    own: dict[str, Any] = vars(twin)
    for name, value in list(own.items()):
        if isinstance(value, dict):  # of modules, parameters, buffers, hooks
            own[name] = value.copy()
    for name, child in module._modules.items():
        twin._modules[name] = None if child is None else _copied(child, made)
    return twin
