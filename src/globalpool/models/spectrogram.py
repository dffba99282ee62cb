"""Convolutional classifiers of spectrograms ``(N, C, F, T)`` that keep time and frequency apart."""

from collections.abc import Sequence

from torch import nn

from globalpool.classifier import PooledClassifier
from globalpool.errors import PoolError
from globalpool.models.padded import PaddedSequential
from globalpool.pools import Mean, Pool

#: Spatial axes of ``(N, C, F, T)``.
FREQUENCY, TIME = 0, 1


def framewise(
    in_channels: int = 1,
    num_classes: int = 10,
    widths: Sequence[int] = (32, 64, 128),
    pool: Pool | None = None,
    labels: Sequence[str] | None = None,
    depth: int = 1,
    kernel: int = 5,
    kept: Sequence[int] = (),
) -> PooledClassifier:
    """Each frame by itself: ``depth`` times convolution along frequency, BatchNorm, ReLU for each width.

    Kernels are ``kernel`` bands by one frame, so the feature map's column ``t`` depends on frame ``t`` alone (in eval
    mode), and under a pool over time the logits know which frames there are, not in which order. Each width but the
    first halves the bands; time keeps its resolution. ``pool``: None is Mean; for ``Mean(dim=globalpool.TIME)`` give
    ``kept=(F,)``, the number of bands of the input. After VGGVox (Nagrani, Chung, Zisserman 2017), which pools over
    time alone.
    """
    return _network(FREQUENCY, in_channels, num_classes, widths, pool, labels, depth, kernel, kept)


def bandwise(
    in_channels: int = 1,
    num_classes: int = 10,
    widths: Sequence[int] = (32, 64, 128),
    pool: Pool | None = None,
    labels: Sequence[str] | None = None,
    depth: int = 1,
    kernel: int = 5,
    kept: Sequence[int] = (),
) -> PooledClassifier:
    """Each band by itself: the mirror of ``framewise``, with convolutions along time.

    Kernels are one band by ``kernel`` frames; each width but the first halves the frames. Under a pool over frequency
    the logits know what happens when, not at which frequency. For ``Mean(dim=globalpool.FREQUENCY)`` give
    ``kept=(T,)``, the number of frames of the input, which the tail is then bound to.
    """
    return _network(TIME, in_channels, num_classes, widths, pool, labels, depth, kernel, kept)


def _network(
    along: int,
    in_channels: int,
    num_classes: int,
    widths: Sequence[int],
    pool: Pool | None,
    labels: Sequence[str] | None,
    depth: int,
    kernel: int,
    kept: Sequence[int],
) -> PooledClassifier:
    pool = Mean() if pool is None else pool
    axes = 0 if pool.dim is None else 2 - len(pool.dim)
    if len(kept) != axes:
        name, hint = ("framewise", "bandwise")[along], "The lengths of the input's axes that the pool keeps, as (64,)."
        raise PoolError(name, f"`kept` with {axes} lengths for {pool.name}(dim={pool.dim})", f"{tuple(kept)}", hint)
    layers: list[nn.Module] = []
    channels = in_channels
    for number, width in enumerate(widths):
        for again in range(depth):
            step = 2 if number and not again else 1
            size, stride, padding = (kernel, 1), (step, 1), (kernel // 2, 0)
            if along == TIME:
                size, stride, padding = size[::-1], stride[::-1], padding[::-1]
            convolution = nn.Conv2d(channels, width, size, stride, padding, bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
    lengths = [-(-length // 2 ** (len(widths) - 1)) for length in kept]
    tail = nn.Linear(pool.out_features(channels, lengths), num_classes)
    return PooledClassifier(PaddedSequential(*layers), pool, tail, labels=labels)
