"""The pool of an attention readout: weights are the softmax of scores that the trunk computes beside the features."""

from torch import Tensor
from torch.nn.functional import pad

from globalpool.layout import Layout
from globalpool.pools import Concat, Pool
from globalpool.pools.base import Parts
from globalpool.surgery.adopted import Carried


class Scored(Carried):
    """Called through its classifier. ``start``: the first channel it reads, where scores are one a channel."""

    def __init__(self, start: int = 0) -> None:
        super().__init__(1)
        self.start = start

    def scored(self, scores: Tensor) -> Pool:
        """The pool of one batch, of scores ``(T, 1)``, or ``(T, C)`` for the channels from ``start`` on."""
        return _AtBatch(self.start, scores)


class _AtBatch(Pool):
    affine = False

    def __init__(self, start: int, scores: Tensor) -> None:
        super().__init__()
        self.start, self.scores = start, scores

    @property
    def weights_are_gradient(self) -> bool:
        return False

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        weights = layout.softmax(self.scores.to(layout.dtype))
        rest = features.shape[1] - self.start - weights.shape[1]
        wide = weights if weights.shape[1] == 1 else pad(weights, (self.start, rest))
        return Parts(wide.unsqueeze(1))


def is_scored(pool: Pool) -> bool:
    """Whether the pool, or one it is made of, needs the trunk's scores."""
    return isinstance(pool, Scored) or (isinstance(pool, Concat) and any(is_scored(part) for part in pool.members))


def with_scores(pool: Pool, scores: tuple[Tensor, ...]) -> Pool:
    """The pool of one batch, its ``Scored`` parts given their scores in order."""
    if not scores:
        return pool
    waiting = list(scores)
    members = pool.members if isinstance(pool, Concat) else [pool]
    filled = [part.scored(waiting.pop(0)) if isinstance(part, Scored) else part for part in members]
    found = filled[0] if len(filled) == 1 else Concat(*filled)
    return found.train(pool.training)
