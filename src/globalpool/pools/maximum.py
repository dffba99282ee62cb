"""The largest value of each channel."""

import torch
from torch import Tensor

from globalpool import kernels
from globalpool.layout import Layout
from globalpool.pools.base import Parts, Pool


class Max(Pool):
    """Global max pooling: ``y[c] = max_p x[c, p]`` over present positions; a measure only says which are present.

    Weights ``(N, 1, C, *S)``: one-hot, shared equally among ties (torch's ``amax`` shares alike, ``max_pool`` gives
    all to the first). Not affine; the weights are the gradient. Boureau, Ponce, LeCun (2010) compare it with Mean.
    """

    affine = False

    @property
    def weights_are_gradient(self) -> bool:
        return True

    @property
    def counts_measure(self) -> bool:
        return False

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        features = features.detach()
        hits = layout.present(features == layout.spread(layout.max(features)), False)
        return Parts(layout.normalize(hits.to(layout.dtype)).unsqueeze(1))

    def fused(self, features: Tensor, layout: Layout) -> Tensor | None:
        bare = layout.paying("max", features)
        if bare is None or (bare.lines and not kernels.differentiating(features)):
            return None
        top, _ = kernels.largest(bare.features, bare.ptr, bare.facts)
        return layout.zero_if_empty(top).unsqueeze(1)

    def value(self, features: Tensor, layout: Layout, parts: Parts | None = None) -> Tensor:
        """The maximum to the last bit, with the shares as its gradient."""
        top = layout.zero_if_empty(layout.max(features).to(layout.dtype))
        if not kernels.differentiating(features):
            return top.unsqueeze(1)
        weights = self.parts(features, layout).weights if parts is None else parts.weights
        reached = torch.where((weights[:, 0] > 0) & features.isfinite(), features, 0).to(layout.dtype)
        shared = layout.sum(weights[:, 0] * reached)
        return (top + (shared - shared.detach())).unsqueeze(1)
