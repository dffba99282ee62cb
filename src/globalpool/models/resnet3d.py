"""A small residual network for volumes."""

from collections.abc import Sequence

from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.models.padded import PaddedSequential, through
from globalpool.pools import Mean, Pool


class ResidualBlock3d(nn.Module):
    """``relu(x + f(x))`` with f: 3 x 3 x 3 convolution, BatchNorm, ReLU, convolution, BatchNorm.

    Where the width or the resolution changes, x goes through a 1 x 1 x 1 convolution and BatchNorm. He et al., Deep
    residual learning (2016), figure 2; in three dimensions Hara, Kataoka, Satoh (2018).
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.branch = PaddedSequential(
            nn.Conv3d(in_channels, channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm3d(channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = PaddedSequential(
                nn.Conv3d(in_channels, channels, 1, stride=stride, bias=False), nn.BatchNorm3d(channels)
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, I, J, K)`` to ``(N, channels, ...)`` at the block's stride."""
        result: Tensor = self.relu(self.branch(x) + self.shortcut(x))
        return result

    def padded(self, values: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The block over samples of several sizes; see ``PaddedSequential``."""
        branch, after = self.branch.padded(values, sizes)
        shortcut, _ = through(self.shortcut, values, sizes)
        return self.relu(branch + shortcut), after


def resnet3d(
    in_channels: int = 1,
    num_classes: int = 10,
    widths: Sequence[int] = (16, 32, 64),
    blocks: int = 1,
    first_stride: int = 1,
    pool: Pool | None = None,
    labels: Sequence[str] | None = None,
) -> PooledClassifier:
    """A convolution of ``first_stride``, then ``blocks`` residual blocks for each width; then a pooled head.

    Each width but the first halves the resolution: total stride ``first_stride * 2 ** (len(widths) - 1)``. Input
    ``(N, in_channels, I, J, K)`` of any lengths. ``pool``: None is Mean; a pool must reduce all axes.
    """
    stem = [
        nn.Conv3d(in_channels, widths[0], 3, stride=first_stride, padding=1, bias=False),
        nn.BatchNorm3d(widths[0]),
        nn.ReLU(inplace=True),
    ]
    layers: list[nn.Module] = list(stem)
    channels = widths[0]
    for number, width in enumerate(widths):
        for again in range(blocks):
            layers.append(ResidualBlock3d(channels, width, 2 if number and not again else 1))
            channels = width
    pool = Mean() if pool is None else pool
    tail = nn.Linear(pool.out_features(channels), num_classes)
    return PooledClassifier(PaddedSequential(*layers), pool, tail, labels=labels)
