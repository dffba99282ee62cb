"""How far the logits of a mix are from the mix of the logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.errors import DataError
from globalpool.evidence import evaluating
from globalpool.training.from_features import from_features


@dataclass(frozen=True, eq=False)
class InterpolationGap:
    """``residual (S, N)``: largest over classes of ``|f(s a + (1 - s) b) - s f(a) - (1 - s) f(b)|``, logit units.

    Row ``s`` belongs to ``shares[s]``. ``difference (N,)``: largest over classes of ``|f(a) - f(b)|``, the scale that a
    residual is seen against. Zero at any share is exactly being affine on the segment; rounding leaves a few 1e-7 of
    the logits in float32.
    """

    at: Literal["input", "features"]
    shares: tuple[float, ...]
    residual: Tensor
    difference: Tensor

    @property
    def largest(self) -> float:
        """The largest residual of all shares and samples."""
        return float(self.residual.max())

    @property
    def relative(self) -> float:
        """Mean residual over the mean logit difference of the ends."""
        return float(self.residual.mean() / self.difference.mean())


@torch.no_grad()
def interpolation_gap(
    classifier: PooledClassifier,
    first: Tensor,
    second: Tensor,
    *,
    shares: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    at: Literal["input", "features"] = "input",
) -> InterpolationGap:
    """The gap between ``N`` pairs ``first[i]``, ``second[i]``, mixed at the input or at the feature map; eval mode.

    Inputs ``(N, C, *S)`` of one size. At the features of an affine head it is rounding; with a ReLU between the mix and
    the logits it is not, and neither labels nor logits of mixed pictures then interpolate.
    """
    if first.shape != second.shape or not len(first):
        got = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise DataError("interpolation_gap", "two batches of one shape, not empty", got)
    if not shares:
        raise DataError("interpolation_gap", "at least one share between 0 and 1", "none")
    if at not in ("input", "features"):
        raise DataError("interpolation_gap", '`at` to be "input" or "features"', repr(at))
    with evaluating(classifier):
        network = classifier
        if at == "features":
            first, second = classifier.features(first), classifier.features(second)
            network = from_features(classifier)
        ends = network(first), network(second)
        residual = [
            (network(share * first + (1 - share) * second) - share * ends[0] - (1 - share) * ends[1]).abs().amax(1)
            for share in shares
        ]
    return InterpolationGap(at, tuple(shares), torch.stack(residual), (ends[0] - ends[1]).abs().amax(1))
