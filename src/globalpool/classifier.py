"""A whole network whose logits are maps: trunk, pool, tail."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

from torch import Tensor, nn

from globalpool.evidence import Classes, Evidence, account, evaluating, is_affine
from globalpool.layout import LayoutArguments
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

    ``trunk``: input to features ``(N, C, *S)``; ``tail``: pooled vectors to logits. ``labels``: one name a class;
    ``input_spec``: how pictures are prepared. The layout arguments describe the FEATURE map (a mask has its
    resolution) and go to the pool.
    """

    def __init__(
        self,
        trunk: nn.Module,
        pool: Pool,
        tail: nn.Module,
        *,
        labels: Sequence[str] | None = None,
        input_spec: InputSpec | None = None,
    ) -> None:
        super().__init__()
        check_pool_type("PooledClassifier", pool)
        self.trunk, self.pool, self.tail = trunk, pool, tail
        self.labels = None if labels is None else tuple(labels)
        self.input_spec = input_spec

    @property
    def affine(self) -> bool:
        """Whether the logits are affine in the features (not in the input), in the present mode."""
        return self.pool.affine and is_affine(self.tail)

    def features(self, x: Tensor) -> Tensor:
        """The trunk's feature map."""
        features: Tensor = self.trunk(x)
        return features

    def forward(self, x: Tensor, **layout: Unpack[LayoutArguments]) -> Tensor:
        """Logits ``(N, K)``."""
        vectors = self.pool(self.features(x), **layout)
        first = next(self.tail.parameters(), None)
        logits: Tensor = self.tail(vectors if first is None else vectors.to(first.dtype))
        return logits

    def evidence(self, x: Tensor, classes: Classes = "top1", **layout: Unpack[LayoutArguments]) -> Evidence:
        """What each position of the feature map gave each chosen logit, in eval mode; see ``PooledHead.evidence``.

        Modules in train mode are put in eval mode for the call and given back; call ``eval()`` first where several
        threads share them.
        """
        with evaluating(self.trunk):
            features = self.features(x)
        return account(self.pool, self.tail, features, classes, **layout)
