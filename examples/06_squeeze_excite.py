"""Squeeze-and-excitation: the whole picture decides which channel counts.

    python examples/06_squeeze_excite.py figure.png

Two bars, each lying or standing, and two tiles whose colour says which bar is asked for. The convolution never sees
two of them at once: without a path across the picture at most six of eight cases can be right. The gates know more.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import globalpool as gp
from globalpool.blocks import SqueezeExcite

SEEDS, STEPS, BATCH, CHANNELS = 4, 400, 64, 16


def pictures(number: int) -> tuple[Tensor, Tensor, Tensor]:
    a, b, asked = torch.randint(2, (3, number))
    x = 0.2 * torch.randn(number, 4, 10, 10)
    standing, tile = 2 * torch.eye(3)[1].expand(3, 3), torch.full((3, 3), 4.0)
    bars = torch.stack([standing.T, standing])
    corners = torch.tensor([[1, 1], [1, 6], [6, 1], [6, 6]])[torch.rand(number, 4).argsort(1)]
    for thing, (channel, patch) in enumerate(((0, bars[a]), (1, bars[b]), (2 + asked, tile), (2 + asked, tile))):
        rows = corners[:, thing, 0, None, None] + torch.arange(3)[:, None]
        columns = corners[:, thing, 1, None, None] + torch.arange(3)
        channels = torch.as_tensor(channel).expand(number)[:, None, None]
        x[torch.arange(number)[:, None, None], channels, rows, columns] += patch
    return x, torch.where(asked == 0, a, b), asked


def trained(seed: int, seen: Callable[[Tensor], Tensor]) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = nn.Conv2d(4, CHANNELS, 3, padding=1, bias=False), nn.BatchNorm2d(CHANNELS), nn.ReLU()
    block, head = SqueezeExcite(CHANNELS, reduction=2), gp.PooledHead(gp.Mean(), CHANNELS, 2)
    block.reduce.register_forward_pre_hook(lambda _, inputs: seen(inputs[0]))
    network = nn.Sequential(*layers, block, head)
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(STEPS):
        x, labels, _ = pictures(BATCH)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()
    return network.eval()


@torch.no_grad()
def accuracy(network: nn.Sequential, x: Tensor, labels: Tensor) -> float:
    return 100 * float((network(x).argmax(1) == labels).double().mean())


def main(out: Path) -> None:
    torch.manual_seed(1000)
    x, labels, asked = pictures(2000)
    scores: dict[str, list[float]] = {"static scale": [], "gates": [], "gates of\nanother picture": []}
    for seed in range(SEEDS):
        # Where the gates see ones whatever the picture holds, the block is a learned scale of each channel.
        gated, static = trained(seed, lambda means: means), trained(seed, torch.ones_like)
        block = gated[3]
        assert isinstance(block, SqueezeExcite)
        row = [accuracy(static, x, labels), accuracy(gated, x, labels)]
        gates = block.gates(gated[:3](x)).detach()
        block.reduce.register_forward_pre_hook(lambda _, inputs: inputs[0].roll(1, 0))  # of another picture
        row.append(accuracy(gated, x, labels))
        print("seed {}: static {:.1f} %, gates {:.1f} %, shuffled {:.1f} %".format(seed, *row))
        assert row[1] > max(row[0], row[2]) + 10
        for values, value in zip(scores.values(), row, strict=True):
            values.append(value)

    figure = Figure((10, 3.4), layout="constrained")
    picture, right, channels = figure.subplots(1, 3, width_ratios=[1, 1.4, 1.7])
    colours = torch.tensor([[0.9, 0.4, 0.0], [0.0, 0.4, 0.9], [0.3, 0.7, 0.3], [0.6, 0.3, 0.7]])
    ink = 1 - torch.einsum("chw,cr->hwr", (x[0] / torch.tensor([2.0, 2, 4, 4])[:, None, None]).clamp(0, 1), 1 - colours)
    picture.imshow(ink.clamp(0, 1).numpy())
    picture.set_title("tiles say which bar is asked for", fontsize=9)
    picture.set_axis_off()
    right.plot(list(scores), list(scores.values()), "o-", color="tab:blue", alpha=0.6)
    right.axhline(75, linestyle=":", color="grey", label="75: the most without a path\nacross the picture")
    right.set_ylabel("held-out pictures right (%)")
    right.legend(frameon=False, fontsize=7, loc="lower left")
    means = torch.stack([gates[asked == way].mean(0) for way in (0, 1)])
    means = means[:, (means[0] - means[1]).argsort(descending=True)]
    channels.vlines(range(CHANNELS), *means.sort(0).values, color="lightgrey")
    for mean, colour, label in zip(means, ("tab:green", "tab:purple"), "AB", strict=True):
        channels.plot(mean, "o", color=colour, label=f"asked for {label}")
    channels.set_xticks([])
    channels.set_xlabel("channels, sorted by the difference")
    channels.set_ylabel("mean gate")
    channels.legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "06_squeeze_excite.png"))
