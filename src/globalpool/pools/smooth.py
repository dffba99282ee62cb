"""Logarithms of means of exponentials without loss of digits, for the pools made of them."""

import torch
from torch import Tensor

from globalpool.layout import Layout


def log_mean_exp(exponents: Tensor, layout: Layout) -> Tensor:
    """``log mean exp z`` (pooled, 0 if empty) of exponents ``z <= 0`` whose largest present one is 0; 0 where absent.

    Where that mean is near 1 everything goes through expm1 and log1p: for small exponents the logarithm of a number
    rounded near 1 would lose all its digits, and the pools divide it by the same small factor.
    """
    drop = layout.mean(torch.expm1(exponents))
    near = drop > -0.5
    mean = torch.where(near, 1, layout.mean(torch.exp(exponents)))
    return torch.where(near, torch.log1p(torch.where(near, drop, 0)), torch.log(mean))


def exp_ratio(exponents: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """``exp(z) / mean exp(z)`` at each position, and its logarithm with the same care."""
    drop = torch.expm1(exponents)
    mean_drop = layout.mean(drop)
    near = mean_drop > -0.5
    mean = layout.spread(torch.where(near, 1 + mean_drop, layout.mean(torch.exp(exponents))))
    ratio = torch.exp(exponents) / mean
    excess = (drop - layout.spread(mean_drop)) / mean
    coarse = ~layout.spread(near) | (excess <= -0.9)
    logarithm = torch.log(torch.where(ratio > 0, ratio, 1))
    return ratio, torch.where(coarse, logarithm, torch.log1p(torch.where(coarse, 0, excess)))
