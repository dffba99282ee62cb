"""One process or several under torchrun: the same calls, which do nothing where there is one."""

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

T = TypeVar("T")


def rank() -> int:
    """The number of this process; 0 where there is one."""
    return distributed.get_rank() if _several() else 0


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _several() else 1


def summed(numbers: Tensor) -> Tensor:
    """The sum over all processes; exact for integers."""
    if _several():
        numbers = numbers.clone()
        distributed.all_reduce(numbers)
    return numbers


def gathered(value: T) -> list[T]:
    """The value of every process, in their order; tensors in it should be on the CPU."""
    if not _several():
        return [value]
    found: list[Any] = [None] * count()
    distributed.all_gather_object(found, value)
    return found


def share(tensors: Iterable[Tensor]) -> None:
    """The first process's values everywhere, in place."""
    if _several():
        for tensor in tensors:
            distributed.broadcast(tensor.detach(), 0)


def share_buffers(module: nn.Module) -> None:
    """The buffers of the first process everywhere: running statistics differ where the samples do."""
    share(module.buffers())


def wait() -> None:
    """Go on when all processes are here."""
    if _several():
        distributed.barrier()


def together(module: nn.Module) -> nn.Module:
    """``module`` whose gradients are averaged over the processes during the backward pass."""
    if not _several():
        return module
    # An objective need not reach every parameter: pretraining leaves the tail alone.
    return nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def device_of(module: nn.Module) -> torch.device:
    """Where the module's parameters are; the CPU where it has none."""
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
