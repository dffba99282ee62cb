"""Spearman's rank correlation (1904)."""

import torch
from torch import Tensor


def ranks(numbers: Tensor) -> Tensor:
    """The rank of each of ``numbers (P,)`` from 0, float64; equal ones share the mean of theirs."""
    _, inverse, counts = torch.unique(numbers, return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    mean: Tensor = ((last - 1 + last - counts).double() / 2)[inverse]
    return mean


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Of two ``(P,)``; 0 where all numbers of one are equal, which then order nothing."""
    a, b = ranks(first), ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = float(a.norm() * b.norm())
    return float(a @ b) / scale if scale else 0.0
