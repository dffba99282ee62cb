"""Logarithms of means of exponentials without loss of digits, for the pools made of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from globalpool.layout import Layout


@dataclass(frozen=True, eq=False)
class MeanExp:
    """Of exponents ``z <= 0`` whose largest present one is 0: ``log_mean = log mean exp z`` (pooled, 0 if empty).

    ``ratio = exp(z) / mean exp(z)`` and ``log_ratio`` at each position.
    """

    log_mean: Tensor
    ratio: Tensor
    log_ratio: Tensor


def mean_exp(exponents: Tensor, layout: Layout) -> MeanExp:
    """Position tensor of exponents, 0 at absent positions, to the mean of their exponentials under the measure.

    Where that mean is near 1 everything goes through expm1 and log1p: for small exponents the logarithm of a number
    rounded near 1 would lose all its digits, and the pools divide it by the same small factor.
    """
    drop, mean = torch.expm1(exponents), layout.mean(torch.exp(exponents))
    mean_drop = layout.mean(drop)  # 0 for an empty sample, where `mean` is 0 too
    near = mean_drop > -0.5
    mean = torch.where(near, 1 + mean_drop, mean)
    log_mean = torch.where(near, torch.log1p(torch.where(near, mean_drop, 0)), torch.log(mean))
    ratio = torch.exp(exponents) / layout.spread(mean)
    excess = (drop - layout.spread(mean_drop)) / layout.spread(mean)
    coarse = ~layout.spread(near) | (excess <= -0.9)
    logarithm = torch.log(torch.where(ratio > 0, ratio, 1))
    log_ratio = torch.where(coarse, logarithm, torch.log1p(torch.where(coarse, 0, excess)))
    return MeanExp(log_mean, ratio, log_ratio)
