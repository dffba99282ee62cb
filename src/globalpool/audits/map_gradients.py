"""The gradient at the feature map: by autograd, from the pool's weights, and in float16."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from globalpool.audits.finding import DoesNotApplyError
from globalpool.audits.intervals import Interval, student
from globalpool.audits.opened import Opened

#: Directions along which the forward derivative of a pool is asked for.
DIRECTIONS = 4
#: The smallest float16 with all its digits.
NORMAL = 2.0**-14


@dataclass(frozen=True, eq=False)
class MapGradient:
    """``measured`` by autograd, ``predicted`` from the pool's weights (None where they are not the gradient).

    Both shaped like the features. ``along (DIRECTIONS, 2)``: derivative of the loss along random directions of the
    features, from the forward derivative of the pool and from ``measured``.
    """

    measured: Tensor
    predicted: Tensor | None
    along: Tensor

    @property
    def error(self) -> float:
        """Largest difference of the prediction, relative to the largest number; NaN without a prediction."""
        size = float(self.measured.abs().max())
        if self.predicted is None or size == 0:
            return math.nan
        return float((self.predicted - self.measured).abs().max()) / size

    @property
    def error_along(self) -> float:
        """The same of the derivatives along directions, relative to the norm of the gradient."""
        size = float(self.measured.double().norm())
        return float((self.along[:, 0] - self.along[:, 1]).abs().max()) / size if size else math.nan


def map_gradient(at: Opened, targets: Tensor, generator: torch.Generator) -> MapGradient:
    """The gradient of the loss at the feature map, by autograd and as the pool says."""
    features = at.features.detach()
    upstream, measured = _backward(at, features.clone().requires_grad_(), targets)
    pairs = []
    for _ in range(DIRECTIONS):
        way = torch.randn(features.shape, generator=generator).to(features)
        moved: Tensor = torch.func.jvp(at.vectors, (features,), (way,))[1]
        pairs.append(torch.stack([(moved.double() * upstream).sum(), (measured.double() * way).sum()]))
    predicted = from_weights(at, features, upstream) if at.pool.weights_are_gradient else None
    return MapGradient(measured, predicted, torch.stack(pairs))


def from_weights(at: Opened, features: Tensor, upstream: Tensor) -> Tensor:
    """``sum over r of a[r, c, p] upstream[r, c]`` for the gradient at the pooled vectors ``(N, R * C * kept)``."""
    with torch.no_grad():
        arranged, layout = at.pool.arrange(features, **at.layout)
        found = at.pool.decompose(features, **at.layout)
        spread = layout.spread(upstream.reshape(found.value.shape).to(found.weights.dtype))
        return (found.weights * spread).sum(1).expand_as(arranged)


def _backward(at: Opened, features: Tensor, targets: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """The gradient of ``scale`` times the loss at the pooled vectors and at ``features``, a leaf."""
    with torch.enable_grad():
        vectors = at.vectors(features)
        if not vectors.requires_grad:
            raise DoesNotApplyError("the pool's weights come from the trunk: features alone have no gradient")
        # A sum: every sample's own gradient, not divided by the size of a batch.
        logits = at.tell(vectors)
        loss = cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), targets, reduction="sum")
        upstream, measured = torch.autograd.grad(scale * loss, (vectors, features))
    return upstream, measured


@dataclass(frozen=True)
class HalfGradient:
    """What float16 does to one gradient.

    ``lost``: sum of the magnitudes that become 0, of ``total``; ``faint``: of those below 2^-14, the lost among them;
    ``zeros``: how many numbers become 0, of ``count`` that are not 0 in single precision; ``overflow``: whether any is
    infinite.
    """

    lost: float
    faint: float
    total: float
    zeros: int
    count: int
    overflow: bool

    @classmethod
    def of(cls, half: Tensor, exact: Tensor) -> "HalfGradient":
        """``half``: float16, of the scaled loss; ``exact``: single precision, of the loss itself."""
        size, here = exact.abs().double(), exact != 0
        gone = here & (half == 0)
        faint = here & (half.float().abs() < NORMAL)
        lost, weak, total = (float(size[part].sum()) for part in (gone, faint, here))
        return cls(lost, weak, total, int(gone.sum()), int(here.sum()), not bool(half.isfinite().all()))


def half_gradient(at: Opened, targets: Tensor, exact: Tensor, scale: float) -> tuple[HalfGradient, HalfGradient | None]:
    """With float16 features: as measured, and as the weights predict it from the gradient at the pooled vectors."""
    features = at.features.detach().half().requires_grad_()
    upstream, measured = _backward(at, features, targets, scale)
    own = HalfGradient.of(measured, exact)
    if not at.pool.weights_are_gradient:
        return own, None
    return own, HalfGradient.of(from_weights(at, features.detach(), upstream).half(), exact)


def reached(gradient: Tensor) -> float:
    """How many positions of one sample the gradient ``(1, C, *S)`` or ``(T, C)`` falls on: ``(sum n)^2 / sum n^2``.

    ``n``: norm over channels at each position. All of them for a mean, one for a maximum of one channel.
    """
    rows = gradient.flatten(2)[0].T if gradient.ndim > 2 else gradient
    norms = rows.double().norm(dim=1)
    return float(norms.sum() ** 2 / norms.square().sum()) if bool(norms.any()) else math.nan


def ratio_interval(parts: Sequence[float], wholes: Sequence[float]) -> tuple[float, Interval | None]:
    """``sum(parts) / sum(wholes)`` over samples and its 95 % t-interval by linearisation, within [0, 1]."""
    part, whole = torch.tensor(parts).double(), torch.tensor(wholes).double()
    if not float(whole.sum()):
        return math.nan, None
    ratio, count = float(part.sum() / whole.sum()), len(parts)
    if count < 2:
        return ratio, None
    half = student(count - 1) * math.sqrt(count) * float((part - ratio * whole).std()) / float(whole.sum())
    return ratio, (max(0.0, ratio - half), min(1.0, ratio + half))
