"""A small convolutional classifier in one, two or three dimensions."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from globalpool.classifier import PooledClassifier
from globalpool.models.padded import PaddedSequential
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
    depth: int = 1,
    first_stride: int = 1,
) -> PooledClassifier:
    """``depth`` times convolution (3 wide), BatchNorm, ReLU for each width; then a pooled head.

    Each width but the first halves the resolution in its first convolution, the first divides it by ``first_stride``:
    total stride ``first_stride * 2 ** (len(widths) - 1)``. Input ``(N, in_channels, *S)`` with ``dims`` spatial axes of
    any length. ``pool``: None is Mean; a pool must reduce all axes (kept axes would fix the input's size).
    """
    layers: list[nn.Module] = []
    channels = in_channels
    for number, width in enumerate(widths):
        for again in range(depth):
            stride = 1 if again else first_stride if number == 0 else 2
            convolution = CONVOLUTIONS[dims](channels, width, 3, stride=stride, padding=1, bias=False)
            layers += [convolution, NORMS[dims](width), nn.ReLU(inplace=True)]
            channels = width
    pool = Mean() if pool is None else pool
    tail = nn.Linear(pool.out_features(channels), num_classes)
    return PooledClassifier(PaddedSequential(*layers), pool, tail, labels=labels)
