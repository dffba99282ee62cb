"""A fully connected and a pooled head on the same trunk: trained on centred digits, asked about displaced ones.

    python examples/07_overfitting.py figure.png

200 digits in the middle of a canvas; both heads learn them by heart. Then held-out digits move away from the middle,
pixel by pixel. What the fully connected head knows, it knows of the middle; what the pooled head knows comes back at
every whole stride of the trunk, 4 pixels, and is lost between.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import globalpool as gp

CANVAS, SIDE, UPDATES = 28, 14, 120


def digits(rows: slice) -> tuple[Tensor, Tensor]:
    pictures, classes = gp.data.mnist_digits()
    order = np.random.default_rng(0).permutation(len(pictures))[rows]
    x = torch.from_numpy(pictures[order].astype(np.float32) / 255)[:, None]
    return nn.functional.interpolate(x, (SIDE, SIDE), mode="area"), torch.from_numpy(classes[order])


def placed(x: Tensor, shift: int) -> Tensor:
    """On a canvas, ``shift`` pixels right and down of the middle."""
    before, after = (CANVAS - SIDE) // 2 + shift, (CANVAS - SIDE) // 2 - shift
    return nn.functional.pad(x, (before, after, before, after))


def trained(head: str, x: Tensor, y: Tensor) -> gp.PooledClassifier:
    torch.manual_seed(0)
    classifier = gp.models.convnet(2, 1, 10, (16, 32, 64))
    if head != "pooled":
        fully = nn.Sequential(nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10))
        classifier = gp.PooledClassifier(classifier.trunk, gp.Grid(7, 7), fully)
    optimiser = torch.optim.AdamW(classifier.parameters(), lr=3e-3)
    random = torch.Generator().manual_seed(0)
    for _ in range(UPDATES):
        rows = torch.randint(0, len(x), (50,), generator=random)
        optimiser.zero_grad()
        nn.functional.cross_entropy(classifier(x[rows]), y[rows]).backward()
        optimiser.step()
    return classifier.eval()


def main(out: Path) -> None:
    x, y = digits(slice(0, 200))
    held_out, truth = digits(slice(4500, 5000))
    shifts = range(8)
    curves, training = {}, {}
    for head in ("pooled", "fully connected"):
        classifier = trained(head, placed(x, 0), y)
        parameters = sum(parameter.numel() for parameter in classifier.tail.parameters())
        with torch.no_grad():
            training[head] = float((classifier(placed(x, 0)).argmax(1) == y).float().mean())
            curves[head] = [
                float((classifier(placed(held_out, shift)).argmax(1) == truth).float().mean()) for shift in shifts
            ]
        print(f"{head:15} {parameters:7,} parameters, training {training[head]:.3f}, held out by displacement ", end="")
        print(" ".join(f"{value:.2f}" for value in curves[head]))
    lost = {head: of[0] - of[-1] for head, of in curves.items()}
    assert min(training.values()) > 0.95
    assert curves["pooled"][4] > curves["pooled"][0] - 0.05  # a whole stride: the same features elsewhere
    assert lost["fully connected"] > lost["pooled"] + 0.1

    figure = Figure((6, 3.6), layout="constrained")
    axes = figure.subplots()
    for (head, of), style in zip(curves.items(), ("o-", "s-"), strict=True):
        (line,) = axes.plot(shifts, of, style, label=f"{head} head, held out")
        axes.axhline(training[head], color=line.get_color(), linestyle=":", label="its training accuracy")
    axes.axhline(0.1, color="gray", linewidth=0.8, label="chance")
    axes.set_xlabel("pixels right and down of where it was trained")
    axes.set_ylabel("accuracy")
    axes.set_ylim(0, 1.05)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "07_overfitting.png"))
