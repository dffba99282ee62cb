"""Does squeeze-and-excitation do what it is for: let the whole picture decide which channel counts?

The task. A picture has four separate places, in random order: a bar of colour A, a bar of colour B, each lying or
standing by its own coin, and two tiles of one of two further colours, by a third coin. The tiles say which bar is
asked for; the label is whether that bar stands. The convolution sees 3 x 3 cells and the places lie further apart, so
without a path across the picture the logits are ``f(A) + g(B) + h(tiles)``: of the eight cases such a sum gets six
right at best, 75 %. The gates of a block know the tiles, which makes every case right possible.

The settings and thresholds were fixed on seeds 100 to 131. The seeds judged are 0 to 4, never looked at before.
"""

import pytest
import torch
from torch import Tensor, nn

import globalpool as gp
from globalpool.blocks import SqueezeExcite
from globalpool.layout import Layout
from tests.learned.paired import SEEDS, paired

STEPS, BATCH, CHANNELS, HELD_OUT = 400, 64, 16, 2000


class Constant(gp.Mean):
    """Ones whatever the picture holds: the block becomes a learned scale of each channel, of as many parameters."""

    def value(self, features: Tensor, layout: Layout, parts: gp.pools.Parts | None = None) -> Tensor:
        return torch.ones_like(super().value(features, layout, parts))


class Shuffled(gp.Mean):
    """The mean of another picture of the batch."""

    def value(self, features: Tensor, layout: Layout, parts: gp.pools.Parts | None = None) -> Tensor:
        return super().value(features, layout, parts).roll(1, 0)


def pictures(number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures ``(N, 4, 10, 10)`` and labels ``(N,)``; see the task above."""
    a, b, asked = torch.randint(2, (3, number), generator=generator)
    x = 0.2 * torch.randn(number, 4, 10, 10, generator=generator)
    places = torch.rand(number, 4, generator=generator).argsort(1)
    lying, standing = torch.zeros(3, 3), torch.zeros(3, 3)
    lying[1], standing[:, 1] = 2.0, 2.0
    bars = torch.stack([lying, standing])
    tile = torch.full((3, 3), 4.0)
    for place, channel, patch in (
        (0, 0 * a, bars[a]),
        (1, 0 * b + 1, bars[b]),
        (2, 2 + asked, tile),
        (3, 2 + asked, tile),
    ):
        corner = torch.stack([places[:, place] // 2, places[:, place] % 2]) * 5 + 1
        rows, columns = corner[0, :, None, None] + torch.arange(3)[:, None], corner[1, :, None, None] + torch.arange(3)
        x[torch.arange(number)[:, None, None], channel[:, None, None], rows, columns] += patch
    return x, torch.where(asked == 0, a, b)


def trained(squeeze: gp.Pool, seed: int, x: Tensor, labels: Tensor) -> nn.Sequential:
    """Convolution, norm, ReLU, block, pooled head; every picture is seen once."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(4, CHANNELS, 3, padding=1, bias=False),
        nn.BatchNorm2d(CHANNELS),
        nn.ReLU(),
        SqueezeExcite(CHANNELS, squeeze=squeeze, reduction=2),
        gp.PooledHead(gp.Mean(), CHANNELS, 2),
    )
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for seen, wanted in zip(x.split(BATCH), labels.split(BATCH), strict=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(seen), wanted).backward()
        optimizer.step()
    return network.eval()


def accuracy(network: nn.Sequential, x: Tensor, labels: Tensor) -> float:
    """Per cent right."""
    with torch.no_grad():
        return float((network(x).argmax(1) == labels).double().mean()) * 100


@pytest.fixture(scope="module")
def results() -> dict[str, Tensor]:
    """Accuracy of each network by seed, in per cent."""
    kinds = ("block", "static", "shuffled", "coins")
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for seed in SEEDS:
        generator = torch.Generator().manual_seed(1000 + seed)
        x, labels = pictures(STEPS * BATCH, generator)
        held_out = pictures(HELD_OUT, generator)
        coins, held_out_coins = (torch.randint(2, (number,), generator=generator) for number in (len(x), HELD_OUT))
        block, static = trained(gp.Mean(), seed, x, labels), trained(Constant(), seed, x, labels)
        assert sum(p.numel() for p in block.parameters()) == sum(p.numel() for p in static.parameters())
        found["block"].append(accuracy(block, *held_out))
        found["static"].append(accuracy(static, *held_out))
        block[3].squeeze = Shuffled()
        found["shuffled"].append(accuracy(block, *held_out))
        found["coins"].append(accuracy(trained(gp.Mean(), seed, x, coins), held_out[0], held_out_coins))
    for kind, values in found.items():
        print(kind, *(f"{value:.1f}" for value in values))
    return {kind: torch.tensor(values, dtype=torch.float64) for kind, values in found.items()}


def test_gates_beat_a_static_scale_of_as_many_parameters(results: dict[str, Tensor]) -> None:
    gain = paired(results["block"].tolist(), results["static"].tolist())
    print(f"block - static: {gain} points")
    assert gain.low > 10
    assert results["block"].mean() > 95


def test_the_gates_of_another_picture_destroy_the_gain(results: dict[str, Tensor]) -> None:
    gain = paired(results["block"].tolist(), results["shuffled"].tolist())
    print(f"block - shuffled: {gain} points")
    assert gain.low > 10
    assert results["shuffled"].mean() < results["static"].mean() + 2


def test_without_a_path_across_the_picture_75_per_cent_is_the_end(results: dict[str, Tensor]) -> None:
    assert (results["static"] - 75).abs().max() < 4  # 4 standard deviations of an accuracy over 2,000 pictures


def test_coins_are_not_predicted(results: dict[str, Tensor]) -> None:
    assert abs(float(results["coins"].mean()) - 50) < 2  # 4 standard deviations of a mean over 10,000 pictures
