"""The classifier that adoption returns, and the pool of those whose weights come with the features."""

from dataclasses import dataclass, replace
from typing import Any, Self, Unpack

from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.errors import AdoptionError, PoolError
from globalpool.evidence import Classes, Evidence, account, evaluating
from globalpool.layout import Features, Layout, LayoutArguments
from globalpool.pools import Pool
from globalpool.pools.base import Parts
from globalpool.surgery.traced_tail import TracedTail


@dataclass(frozen=True)
class Proof:
    """What was tried before ``adopt`` returned.

    ``difference``: largest difference of a logit from the model's, relative to the largest logit of its sample, over
    ``inputs``, the shapes tried; ``residual``: the largest residual of the evidence, relative to what was added up.
    """

    inputs: tuple[tuple[int, ...], ...]
    difference: float
    residual: float
    kind: str


class Alone(nn.Module):
    """A trunk that gives features and nothing else, as the one-value tuple of a traced trunk."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Any) -> tuple[Tensor]:
        return (self.trunk(x),)


class Carried(Pool):
    """A pool whose weights the trunk computes beside the features: attention, or a weighted mean.

    Called through its classifier; ``at`` gives the pool of one batch.
    """

    def __init__(self, regions: int, *, affine: bool = False) -> None:
        super().__init__()
        self.regions, self._affine = regions, affine

    @property
    def affine(self) -> bool:
        return self._affine

    @property
    def weights_are_gradient(self) -> bool:
        return self._affine

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        raise PoolError(self.name, "a call through its classifier", "one without the trunk's weights")

    def at(self, weights: Tensor, remainder: Tensor, value: Tensor) -> Pool:
        """The pool of one batch: ``weights (N, R, C or 1, *S)``, ``remainder`` and ``value (N, R, C)``."""
        return _AtBatch(self, weights, remainder, value)


class _AtBatch(Pool):
    def __init__(self, pool: Carried, weights: Tensor, remainder: Tensor, value: Tensor) -> None:
        super().__init__()
        self.regions, self._affine = pool.regions, pool.affine
        self._given, self._value = Parts(weights, None if pool.affine else remainder), value
        self.training = pool.training

    @property
    def affine(self) -> bool:
        return self._affine

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        return self._given

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        """What the model's own operation gave; with fixed weights, what they give."""
        return super().value(features, layout, parts) if self._affine else self._value


class AdoptedClassifier(PooledClassifier):
    """A model taken apart: ``trunk`` gives features (and what pool and tail need beside them), ``tail`` the logits.

    All parts are in eval mode and share the model's parameters; ``proof`` says what was tried. ``also`` names
    poolings of other features that feed the logits as well: their part is in the offset. ``gated_maps``: the classes
    themselves are pooled, after an activation; their evidence is called "gated", because the layer that made them
    lies behind a gate, though zeroing a position of ``features`` does remove exactly what it gave.
    """

    def __init__(
        self, trunk: nn.Module, pool: Pool, tail: nn.Module, also: tuple[str, ...], *, gated_maps: bool = False
    ) -> None:
        super().__init__(trunk, pool, tail)
        self.also, self.gated_maps = also, gated_maps
        self.proof: Proof | None = None
        self.fixed: tuple[tuple[int, int], ...] = ()

    def _taken(self, x: Tensor) -> tuple[Tensor, Pool, nn.Module]:
        for axis, length in self.fixed:
            if x.shape[axis] != length:
                raise AdoptionError(
                    type(self).__name__,
                    f"inputs of length {length} along axis {axis}, the size the model was traced at",
                    f"{tuple(x.shape)}",
                    "Adopt the model again with an example of this size.",
                )
        tail: Any = self.tail
        features, *others = self.trunk(x)
        pool = self.pool
        if isinstance(pool, Carried):
            pool, others = pool.at(*others[:3]), others[3:]
        return features, pool, tail.at(tuple(others)) if isinstance(tail, TracedTail) else tail

    @property
    def affine(self) -> bool:
        return super().affine and not self.gated_maps

    def located(self, x: Any) -> Features:
        return Features(self._taken(x)[0], {})

    def forward(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """Logits ``(N, K)``, the model's own."""
        features, pool, tail = self._taken(x)
        self._check_layout(layout)
        vectors = pool(features, **layout)
        first = next(tail.parameters(), None)
        logits: Tensor = tail(vectors if first is None else vectors.to(first.dtype))
        return logits

    def evidence(self, x: Tensor, classes: Classes = "top1", **layout: Unpack[LayoutArguments]) -> Evidence:
        """What each position of the feature map gave each chosen logit; see ``PooledHead.evidence``."""
        self._check_layout(layout)
        with evaluating(self):
            features, pool, tail = self._taken(x)
            evidence = account(pool, tail, features, classes, **layout)
        return replace(evidence, kind="gated") if self.gated_maps else evidence

    def _with(self, pool: Pool, tail: nn.Module) -> Self:
        carried = isinstance(self.pool, Carried) and pool is not self.pool
        sides = self.tail.sides if isinstance(self.tail, TracedTail) and tail is not self.tail else 0
        if carried or sides:
            got = f"{self.pool.name} with weights from the trunk" if carried else "a tail that reads the trunk as well"
            hint = "Put a new head on the same trunk with globalpool.replace_head."
            raise AdoptionError(type(self).__name__, "a pool and a tail that stand by themselves", got, hint)
        twin = super()._with(pool, tail)
        twin.proof = self.proof if pool is self.pool and tail is self.tail else None
        return twin

    def _check_layout(self, layout: LayoutArguments) -> None:
        if isinstance(self.pool, Carried) and any(value is not None for value in layout.values()):
            hint = "This pool's weights are computed in the trunk, over all positions."
            raise AdoptionError(type(self).__name__, "no layout arguments", ", ".join(sorted(layout)), hint)
