"""Twins of a network that have forgotten what they learned, for sanity checks (Adebayo et al., NeurIPS 2018)."""

from copy import deepcopy

import torch
from torch import nn

from globalpool.classifier import PooledClassifier


def scrambled(classifier: PooledClassifier, part: nn.Module, generator: torch.Generator) -> PooledClassifier | None:
    """A copy of the classifier with the numbers of every weight of ``part``, one of its modules, in random order.

    Every weight keeps its distribution, and the network its scale; vectors (biases, scales of norms) stay. None where
    ``part`` has no weight.
    """
    (name,) = (own for own, module in classifier.named_modules() if module is part)
    twin = deepcopy(classifier)
    weights = [one for one in twin.get_submodule(name).parameters() if one.ndim > 1 and one.is_floating_point()]
    with torch.no_grad():
        for one in weights:
            order = torch.randperm(one.numel(), generator=generator).to(one.device)
            one.copy_(one.flatten()[order].reshape(one.shape))
    return twin if weights else None
