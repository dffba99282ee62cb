"""How much of the logits' variation between samples the offset carries, summed up one sample at a time."""

import torch
from torch import Tensor


class Variation:
    """Running sums in float64 over samples of centred offsets and logits; memory does not grow with samples."""

    def __init__(self) -> None:
        self._count = 0
        self._sums = torch.zeros(0)

    def add(self, offset: Tensor, logits: Tensor) -> None:
        """One sample's ``(K,)`` offset and logits for all classes, each centred here against its mean."""
        offset, logits = offset.double().cpu(), logits.double().cpu()
        offset, logits = offset - offset.mean(), logits - logits.mean()
        new = torch.stack([offset, logits, offset * logits, logits * logits])
        self._sums = new if self._count == 0 else self._sums + new
        self._count += 1

    def offset_share(self) -> float:
        """``sum_k cov(offset_k, logit_k) / sum_k var(logit_k)``; NaN for fewer than two samples."""
        if self._count < 2:
            return float("nan")
        offset, logits, product, square = self._sums / self._count
        share = float((product - offset * logits).sum() / (square - logits.square()).sum())
        return round(share, 12) + 0.0  # rounding leaves -1e-18 where the offset is the same everywhere
