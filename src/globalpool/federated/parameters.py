"""What of a classifier travels: parameters, never buffers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.errors import FederatedError


def parameters_of(classifier: PooledClassifier) -> dict[str, Tensor]:
    """Copies of all parameters by name, without buffers, on the CPU.

    Running statistics stay where they were estimated: they belong to a client's resolution (Li, Jiang, Zhang, Kamp,
    Dou, FedBN, 2021), averaging them with an adaptive optimiser can make a variance negative, and a counter of batches
    has no average.
    """
    return {name: value.detach().cpu().clone() for name, value in classifier.named_parameters()}


def load_parameters(classifier: PooledClassifier, parameters: Mapping[str, Tensor]) -> None:
    """Write parameters of the same names and shapes in place; buffers are left as they are."""
    own = dict(classifier.named_parameters())
    odd = sorted(own.keys() ^ parameters.keys())
    odd = odd or [name for name, value in own.items() if value.shape != parameters[name].shape]
    if odd:
        got = f"a difference in {', '.join(odd[:3])}" + (f" and {len(odd) - 3} more" if odd[3:] else "")
        raise FederatedError("load_parameters", "the parameters of this classifier", got)
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(parameters[name])


def buffers_of(classifier: PooledClassifier) -> dict[str, Tensor]:
    """Copies of all buffers by name, which a client keeps to itself."""
    return {name: value.detach().cpu().clone() for name, value in classifier.named_buffers()}


def load_buffers(classifier: PooledClassifier, buffers: Mapping[str, Tensor]) -> None:
    """Write what ``buffers_of`` gave back in place."""
    for name, value in classifier.named_buffers():
        value.copy_(buffers[name])


def size_in_bytes(tensors: Mapping[str, Tensor]) -> int:
    """What the numbers themselves weigh on the wire."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
