"""The last linear layer of a tail, and what is fixed around it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.errors import PoolError

#: What may follow the layer: in eval mode these pass the logits on as they are.
PASSIVE = (nn.Identity, nn.Dropout)


@dataclass(frozen=True, eq=False)
class LastLinear:
    """``tail(v) == layer(earlier(v))`` in eval mode; only ``layer`` is fitted. ``where`` names the caller in errors."""

    where: str
    classifier: PooledClassifier
    earlier: tuple[nn.Module, ...]
    layer: nn.Linear

    @property
    def summing(self) -> torch.device:
        """Where float64 sums are made: the layer's device, the CPU for devices that have no float64."""
        device = self.layer.weight.device
        return torch.device("cpu") if device.type == "mps" else device

    def vectors(self, x: Any, **layout: Any) -> Tensor:
        """What the layer is given for the input ``x``: ``(B, F)``, in the dtype the tail computes in."""
        vectors = self.classifier.pooled(x, **layout)
        first = next(self.classifier.tail.parameters())
        vectors = vectors.to(first.dtype)
        for part in self.earlier:
            vectors = part(vectors)
        if vectors.ndim != 2 or vectors.shape[1] != self.layer.in_features:
            got = f"{tuple(vectors.shape)} from {type(self.classifier.pool).__name__}"
            raise PoolError(self.where, f"vectors (N, {self.layer.in_features}) for the last linear layer", got)
        return vectors

    def check_is_the_classifier(self, x: Any, **layout: Any) -> None:
        """Raise unless ``layer(vectors(x))`` are the logits, where a subclass has a forward of its own."""
        if type(self.classifier).forward is PooledClassifier.forward:
            return
        logits = self.layer(self.vectors(x, **layout))
        if not torch.allclose(logits, self.classifier(x, **layout), rtol=1e-4, atol=1e-5, equal_nan=True):
            name = type(self.classifier).__name__
            hint = "Its own forward does more; fit the tail on vectors you pooled yourself."
            raise PoolError(self.where, f"{name} to compute tail(pool(features(x)))", "other logits", hint)


def last_linear(where: str, classifier: PooledClassifier) -> LastLinear:
    """The layer that is fitted; raises PoolError for a classifier without one."""
    if not isinstance(classifier, PooledClassifier):
        hint = "Write PooledClassifier(nn.Identity(), head.pool, head.tail) for a head by itself."
        raise PoolError(where, "a PooledClassifier", type(classifier).__name__, hint)
    parts = _flat(classifier.tail)
    while parts and any(_runs_as(parts[-1], kind) for kind in PASSIVE):
        parts.pop()
    layer = parts[-1] if parts else classifier.tail
    if not (isinstance(layer, nn.Linear) and _runs_as(layer, nn.Linear)):
        raise PoolError(
            where,
            "a tail that is a Linear, or a Sequential whose last layer (Dropout and Identity aside) is one",
            f"{type(layer).__name__} at the end of {type(classifier.tail).__name__}",
            "Put the linear layer last, or train this tail by gradient steps.",
        )
    if "weight" not in dict(layer.named_parameters(recurse=False)):
        hint = "Remove the parametrization (torch.nn.utils.parametrize.remove_parametrizations) first."
        raise PoolError(where, "a last layer that owns its weight", "a weight computed from others", hint)
    fixed = (classifier.trunk, classifier.pool, *parts[:-1])
    owned = {id(tensor) for tensor in layer.parameters()}
    if any(id(tensor) in owned for module in fixed for tensor in module.parameters()):
        hint = "Fitting it would change the features it is fitted on; give the layer its own copy."
        raise PoolError(where, "a last layer that shares no parameter", "one the rest of the model uses", hint)
    return LastLinear(where, classifier, tuple(parts[:-1]), layer)


def _runs_as(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether the module computes what ``kind`` computes: a subclass with a forward of its own does not."""
    return isinstance(module, kind) and type(module).forward is kind.forward


def _flat(tail: nn.Module) -> list[nn.Module]:
    """The layers in the order they run; one that stands in two places is named twice."""
    if isinstance(tail, nn.Sequential) and _runs_as(tail, nn.Sequential):
        return [leaf for part in tail for leaf in _flat(part)]
    return [tail]
