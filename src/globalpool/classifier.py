"""A whole network whose logits are maps: trunk, pool, tail."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self, Unpack, cast

from torch import Tensor, nn

from globalpool.errors import PoolError
from globalpool.evidence import Classes, Evidence, account, evaluating, is_affine
from globalpool.exchange import PoolChange, Size, exchange, factors, mixed
from globalpool.exchange.resolution import check_size
from globalpool.layout import Features, LayoutArguments
from globalpool.pools import Pool
from globalpool.pools.base import check_pool_type


@dataclass(frozen=True)
class InputSpec:
    """How a classifier wants its pictures: side in pixels it was trained at, and mean and deviation a channel.

    Pixels are first scaled to [0, 1]; ``(pixel - mean) / std`` goes in.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class PooledClassifier(nn.Module):
    """``logits = tail(pool(trunk(x)))``.

    ``trunk``: input to features ``(N, C, *S)``, or to ``Features``, which say themselves where their positions are;
    ``tail``: pooled vectors to logits. The input is whatever the trunk takes: a tensor, ``Padded`` samples, a batch of
    graphs. ``labels``: one name a class; ``input_spec``: how files are prepared. The layout arguments describe the
    FEATURE map (a mask has its resolution), go to the pool and come before those of the trunk. ``change``: what
    ``with_pool`` kept, None for others; ``resolution``: the lengths of the feature map that the tail's weights are
    meant for, where somebody said so.
    """

    change: PoolChange | None = None
    resolution: tuple[int, ...] | None = None

    def __init__(
        self,
        trunk: nn.Module,
        pool: Pool,
        tail: nn.Module,
        *,
        labels: Sequence[str] | None = None,
        input_spec: Any = None,
    ) -> None:
        super().__init__()
        check_pool_type("PooledClassifier", pool)
        self.trunk, self.pool, self.tail = trunk, pool, tail
        self.labels = None if labels is None else tuple(labels)
        self.input_spec: Any = input_spec

    @property
    def affine(self) -> bool:
        """Whether the logits are affine in the features (not in the input), in the present mode."""
        return self.pool.affine and is_affine(self.tail)

    def located(self, x: Any) -> Features:
        """The trunk's features, with the layout arguments that came with them."""
        found = self.trunk(x)
        return found if isinstance(found, Features) else Features(found, {})

    def features(self, x: Any) -> Tensor:
        """The trunk's features alone, ``(N, C, *S)`` or ``(T, C)``."""
        return self.located(x).values

    def pooled(self, x: Any, **layout: Unpack[LayoutArguments]) -> Tensor:
        """The pooled vectors ``(N, R*C*kept)``."""
        found = self.located(x)
        return cast(Tensor, self.pool(found.values, **(found.layout | layout)))

    def forward(self, x: Any, **layout: Unpack[LayoutArguments]) -> Tensor:
        """Logits ``(N, K)``."""
        vectors = self.pooled(x, **layout)
        first = next(self.tail.parameters(), None)
        logits: Tensor = self.tail(vectors if first is None else vectors.to(first.dtype))
        return logits

    def evidence(self, x: Any, classes: Classes = "top1", **layout: Unpack[LayoutArguments]) -> Evidence:
        """What each position of the feature map gave each chosen logit, in eval mode; see ``PooledHead.evidence``.

        Modules in train mode are put in eval mode for the call and given back; call ``eval()`` first where several
        threads share them.
        """
        with evaluating(self.trunk):
            found = self.located(x)
        return account(self.pool, self.tail, found.values, classes, **(found.layout | layout))

    def feature_size(self, x: Any) -> tuple[int, ...]:
        """The lengths of the feature map's spatial axes for the input ``x``; of ragged rows their number."""
        with evaluating(self.trunk):
            shape = self.features(x).shape
        return tuple(shape[2:]) if len(shape) > 2 else (shape[0],)

    def with_pool(self, pool: Pool, *, size: Size | None = None) -> Self:
        """The same classifier with another pool, with the same logits where the maths allows it.

        Trunk and, where the widths fit and no weight changes, tail are this classifier's own; otherwise the first
        linear layer of the tail is a copy that reads the old regions off the new ones (a tail that begins with
        something else gets a small matrix over regions in front). ``result.change`` says whether the logits are
        preserved, exactly: for every input where the new pool holds the old one (Mean as attention with zero scores,
        as learned regions by area, as exact bins; any pool within a Concat, whose other columns start at zero); at
        feature maps of ``size``, their lengths and not the picture's, between pools that count positions differently
        (Mean, Sum, ScaledSum). Where they are not, the tail starts from the old weights and is to be fitted again.
        Raises PoolError where ``size`` is needed and missing, and for another ``dim``.
        """
        check_pool_type("with_pool", pool)
        tail, change = exchange(self.pool, pool, self.tail, size)
        first = next(self.tail.parameters(), None)
        pool.train(self.pool.training)
        twin = self._with(pool if first is None else pool.to(first.device), tail)
        twin.change = change
        return twin

    def at_resolution(self, size: Size, *, trained_at: Size | None = None) -> Self:
        """The same classifier for feature maps of lengths ``size`` where its weights were trained at ``trained_at``.

        The weights that read a ``count^-gamma`` sum are multiplied by ``(N_trained / N)^(1 - gamma)``, N counting
        positions of the FEATURE map (224 and 250 pixels at stride 32 are 49 and 64 positions); biases are untouched.
        Mean and all pools that do not grow with the map stay as they are, and share the tail. Right for targets that
        do not grow with the picture, wrong for counts. ``trained_at``: by default ``resolution``, which the result
        carries on. Counts are those of whole maps: of padded batches give each size its own classifier.
        """
        where = "at_resolution"
        after = check_size(where, "size", size)
        before = self.resolution if trained_at is None else check_size(where, "trained_at", trained_at)
        if before is None:
            hint = "The feature map's lengths in training; classifier.feature_size(x) tells them for an input x."
            raise PoolError(where, "`trained_at`, as in (7, 7)", "None, and a classifier without `resolution`", hint)
        if len(before) != len(after):
            raise PoolError(where, f"as many axes as in training, {before}", f"{after}")
        scale = factors(where, self.pool, before, after)
        rows = tuple(tuple(own * (r == s) for s in range(len(scale))) for r, own in enumerate(scale))
        twin = self._with(self.pool, mixed(where, self.tail, rows))
        twin.resolution = after
        return twin

    def _with(self, pool: Pool, tail: nn.Module) -> Self:
        """A twin that shares everything but these two."""
        twin = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict):  # of modules, parameters, hooks: the twin's own
                vars(twin)[name] = value.copy()
        twin.pool, twin.tail = pool, tail
        return twin
