"""A graph network taken apart: called as the model is, its positions are the nodes that reach the readout."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from globalpool.errors import AdoptionError
from globalpool.evidence import Classes, Evidence, account, evaluating
from globalpool.layout import Features, LayoutArguments
from globalpool.pools import Pool
from globalpool.surgery.adopted import AdoptedClassifier
from globalpool.surgery.graphs.call_form import CallForm
from globalpool.surgery.graphs.scored import is_scored, with_scores
from globalpool.surgery.traced_tail import TracedTail


class GraphClassifier(AdoptedClassifier):
    """What ``adopt`` returns for a network over graphs; every method takes the arguments of the model's forward.

    The nodes are rows ``(T, C)``, in the order in which they reach the readout: the model's own, or those that a
    pooling of nodes in the trunk left. Readouts of several layers are one pool of their features side by side.
    ``proof.inputs`` are the shapes ``(T, C)`` of the features tried. A model that returns log-probabilities is held as
    such: its logits are the logarithms, the maps are those of the scores before, and the offset has the normaliser.
    """

    def __init__(self, trunk: nn.Module, pool: Pool, tail: nn.Module, also: tuple[str, ...], form: CallForm) -> None:
        super().__init__(trunk, pool, tail, also)
        self.form = form

    def opened(self, *args: Any, **kwargs: Any) -> tuple[Tensor, LayoutArguments, Pool, nn.Module]:
        """Features ``(T, C)``, the layout of their graphs, and pool and tail for this batch."""
        features, batch, ptr, size, scores, sides = self.trunk(*self.form.values(args, kwargs))
        layout = LayoutArguments()
        if ptr is not None:
            layout["ptr"] = ptr
        elif batch is None:
            layout["ptr"] = torch.tensor([0, features.shape[0]], device=features.device)
        else:
            layout["batch"] = batch
            if size is not None:
                layout["size"] = int(size)
        tail = self.tail.at(sides) if isinstance(self.tail, TracedTail) else self.tail
        return features, layout, with_scores(self.pool, scores), tail

    def located(self, *args: Any, **kwargs: Any) -> Features:
        features, layout, _, _ = self.opened(*args, **kwargs)
        return Features(features, layout)

    def features(self, *args: Any, **kwargs: Any) -> Tensor:
        """The features ``(T, C)`` of the nodes that are read out."""
        return self.located(*args, **kwargs).values

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Logits ``(N, K)``, the model's own."""
        features, layout, pool, tail = self.opened(*args, **kwargs)
        vectors = pool(features, **layout)
        first = next(tail.parameters(), None)
        logits: Tensor = tail(vectors if first is None else vectors.to(first.dtype))
        return logits

    def evidence(self, *args: Any, classes: Classes = "top1", **kwargs: Any) -> Evidence:
        """What each node gave each chosen logit, ``maps (T, K')``; see ``PooledHead.evidence``."""
        with evaluating(self):
            features, layout, pool, tail = self.opened(*args, **kwargs)
            return account(pool, tail, features, classes, **layout)

    def feature_size(self, *args: Any, **kwargs: Any) -> tuple[int, ...]:
        """The number of nodes that are read out."""
        with evaluating(self.trunk):
            return (self.features(*args, **kwargs).shape[0],)

    def _with(self, pool: Pool, tail: nn.Module) -> Self:
        if pool is not self.pool and is_scored(self.pool):
            got = f"{self.pool.name} with scores from the trunk"
            raise AdoptionError(type(self).__name__, "a pool and a tail that stand by themselves", got)
        return super()._with(pool, tail)
