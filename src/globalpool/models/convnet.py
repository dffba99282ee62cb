"""A small convolutional classifier in one, two or three dimensions."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from globalpool.classifier import PooledClassifier
from globalpool.pools import Mean, Pool

CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {
    1: nn.Conv1d,
    2: nn.Conv2d,
    3: nn.Conv3d,
}
NORMS: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}


def convnet(
    dims: Literal[1, 2, 3] = 2,
    in_channels: int = 3,
    num_classes: int = 10,
    widths: Sequence[int] = (32, 64, 128),
    pool: Pool | None = None,
    labels: Sequence[str] | None = None,
) -> PooledClassifier:
    """Convolution (3 wide), BatchNorm, ReLU for each width, halving the resolution after the first; then a pooled head.

    Input ``(N, in_channels, *S)`` with ``dims`` spatial axes of any length; total stride ``2 ** (len(widths) - 1)``.
    ``pool``: None is Mean; a pool must reduce all axes (kept axes would fix the input's size).
    """
    layers: list[nn.Module] = []
    channels = in_channels
    for depth, width in enumerate(widths):
        convolution = CONVOLUTIONS[dims](channels, width, 3, stride=1 if depth == 0 else 2, padding=1, bias=False)
        layers += [convolution, NORMS[dims](width), nn.ReLU(inplace=True)]
        channels = width
    pool = Mean() if pool is None else pool
    tail = nn.Linear(pool.out_features(channels), num_classes)
    return PooledClassifier(nn.Sequential(*layers), pool, tail, labels=labels)
