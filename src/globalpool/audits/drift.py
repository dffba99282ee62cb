"""What moved the logits between two sizes: the pool's count, the features' scale, a common shift, each sample's own."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shares:
    """Shares of the squared drift of the centred logits; ``count + scale + common + own == 1``.

    ``count``: by the pool's count factor; the rest is the trunk's: ``scale``, all logits times one number; ``common``,
    a shift that all other samples show on average, as refitted norms or a refitted head would undo; ``own``, what is
    left. ``factor``: that number. ``relative``: root mean square drift over that of the centred logits.
    """

    count: float
    scale: float
    common: float
    own: float
    factor: float
    relative: float


def shares(before: Tensor, after: Tensor, rescaled: Tensor) -> Shares:
    """Of logits ``(N, K)`` float64: at the first size, at the second, and there with the count undone.

    The parts add up to the drift before they are projected on it, so the shares add up to one; zeros without drift.
    """
    start = centred(before)
    drift, trunk = centred(after) - start, centred(rescaled) - start
    square, size, samples = float(drift.square().sum()), float(start.square().sum()), len(before)
    if size == 0 or square <= 1e-12 * size:
        return Shares(0.0, 0.0, 0.0, 0.0, 1.0, 0.0 if size == 0 else (square / size) ** 0.5)
    factor = 1 + float((trunk * start).sum()) / size
    scale = (factor - 1) * start
    rest = trunk - scale
    # Without the sample itself: its own change would pass for a common one where samples are few.
    common = (rest.sum(0) - rest) / (samples - 1) if samples > 1 else torch.zeros_like(rest)
    count, scaled, shifted = (float((part * drift).sum()) / square for part in (drift - trunk, scale, common))
    return Shares(count, scaled, shifted, 1 - count - scaled - shifted, factor, (square / size) ** 0.5)


def projected(part: Tensor, before: Tensor, after: Tensor) -> float:
    """The share of the drift ``after - before`` that a change ``part`` of the logits accounts for; 0 without drift."""
    drift = centred(after - before)
    square = float(drift.square().sum())
    if square <= 1e-12 * float(centred(before).square().sum()):
        return 0.0
    return float((centred(part) * drift).sum()) / square


def centred(logits: Tensor) -> Tensor:
    """Against the mean over classes, which no probability depends on; a single logit stays."""
    return logits - logits.mean(1, keepdim=True) if logits.shape[1] > 1 else logits
