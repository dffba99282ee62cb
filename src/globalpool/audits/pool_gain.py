"""What a pool lets through of a disturbance of its feature map: told from its weights, and tried."""

from copy import deepcopy

import torch
from torch import Tensor

from globalpool.audits.finding import DoesNotApplyError
from globalpool.audits.opened import Opened
from globalpool.pools import Pool
from globalpool.surgery.adopted import Carried, _AtBatch


def through_weights(pool: Pool, weights: Tensor, pattern: Tensor) -> Tensor:
    """``sum_p a_p n_p`` ``(N, R, C or 1, *kept)`` of ``weights (N, R, C or 1, *S)`` and ``pattern (*S)``."""
    axes = len(pattern.shape)
    reduced = range(-axes, 0) if pool.dim is None else (axis if axis < 0 else axis - 2 - axes for axis in pool.dim)
    return (weights.double() * pattern.to(weights.device)).sum(tuple(reduced))


def predicted_gain(opened: Opened, pattern: Tensor) -> Tensor:
    """``(N,)``: change of the pooled vector for a pattern of amplitude one in every channel, rms over its entries.

    From the weights where they are the gradient, otherwise from a Jacobian-vector product.
    """
    pool, features = opened.pool, opened.features.double()
    if isinstance(pool, Carried | _AtBatch) and not pool.weights_are_gradient:
        raise DoesNotApplyError("the pool's weights come from the trunk, and so does their gradient")
    own = deepcopy(pool).double()
    if pool.weights_are_gradient:
        return _rms(through_weights(own, own.decompose(features).weights, pattern))
    tangent = pattern.to(features).expand_as(features).contiguous()
    change: Tensor = torch.func.jvp(own, (features,), (tangent,))[1]
    return _rms(change)


def measured_gain(opened: Opened, pattern: Tensor, amplitude: float) -> Tensor:
    """The same from the pool itself, by adding ``amplitude`` times the pattern to the features; in float64."""
    features = opened.features.double()
    own = deepcopy(opened.pool).double()
    change = own(features + amplitude * pattern.to(features)) - own(features)
    return _rms(change / amplitude)


def _rms(values: Tensor) -> Tensor:
    return values.flatten(1).square().mean(1).sqrt()
