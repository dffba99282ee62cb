"""How much of the logits' variation between samples the offset carries, summed up one sample at a time."""

import torch
from torch import Tensor


class Variation:
    """Running moments in float64 of centred offsets and logits (Welford 1962); memory does not grow with samples."""

    def __init__(self) -> None:
        self._count = 0
        self._means = torch.zeros(2, 1, dtype=torch.float64)
        self._covariance = self._variance = self._square = torch.zeros(1, dtype=torch.float64)

    def add(self, offset: Tensor, logits: Tensor) -> None:
        """One sample's ``(K,)`` offset and logits for all classes, each centred here against its mean."""
        new = torch.stack([offset.double().cpu(), logits.double().cpu()])
        new = new - new.mean(1, keepdim=True)
        self._count += 1
        before = new - self._means
        self._means = self._means + before / self._count
        after = new - self._means
        self._covariance = self._covariance + before[0] * after[1]
        self._variance = self._variance + before[1] * after[1]
        self._square = self._square + new[1].square()

    def offset_share(self) -> float:
        """``sum_k cov(offset_k, logit_k) / sum_k var(logit_k)``; NaN where the logits vary by rounding at most."""
        variance = float(self._variance.sum())
        if self._count < 2 or variance <= 1e-10 * float(self._square.sum()):
            return float("nan")
        return round(float(self._covariance.sum()) / variance, 12) + 0.0  # no negative zero
