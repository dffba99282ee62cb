"""Attention pooling: from the mean to a region of interest, and to a needle that the mean drowns.

    python examples/15_attention.py figure.png

A position bias b on n = 9 of N = 49 cells gives them the mass n e^(b/t) / (n e^(b/t) + N - n); measured masses lie on
the formula. A needle of 2 x 2 marked cells carries the class: as the canvas grows, the mean falls toward chance as
Phi(12 / side), while attention by content, which starts as the mean, finds the needle at every size.
"""

import sys
from pathlib import Path
from statistics import NormalDist

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import globalpool as gp

SIDES = (8, 12, 16, 24, 32)


def masses(temperatures: list[float]) -> list[float]:
    """Attention on 3 x 3 of 7 x 7 cells with bias 4, at each temperature."""
    place = gp.RegionOfInterest((1 / 7, 2 / 7), (4 / 7, 5 / 7), bias=4.0)
    x, found = torch.zeros(1, 1, 7, 7, dtype=torch.float64), []
    for temperature in temperatures:
        pool = gp.Attention(1, content=None, position=place, temperature=temperature)
        found.append(float(pool.decompose(x).weights[..., 1:4, 2:5].sum()))
    return found


def needles(count: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noise in 8 channels; 2 x 2 cells anywhere have +6 in channel 0 and +3 or -3, the class, in channel 1."""
    x, label = torch.randn(count, 8, side, side), torch.randint(0, 2, (count,))
    index, first = torch.arange(side), torch.randint(0, side - 1, (2, count, 1))
    rows, columns = (index >= first) & (index < first + 2)
    place = rows[:, :, None] & columns[:, None]
    x[:, 0] += 6 * place
    x[:, 1] += 3 * place * (2 * label - 1)[:, None, None]
    return x, label, place


def trained(pool: gp.Pool) -> gp.PooledClassifier:
    """On canvases of all sides, one side a step: a pool takes any."""
    model = gp.PooledClassifier(nn.Conv2d(8, 8, 1), pool, nn.Linear(8, 2))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(150):
        x, label, _ = needles(64, SIDES[step % len(SIDES)])
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), label).backward()
        optimiser.step()
    return model


def main(out: Path) -> None:
    torch.manual_seed(0)
    temperatures = torch.logspace(-1, 2, 61).tolist()
    measured = masses([1.0, 0.5, *temperatures])
    formula = [gp.region_mass(9, 49, 4.0, temperature) for temperature in [1.0, 0.5, *temperatures]]
    print(f"mass {measured[0]:.4f} at temperature 1, {measured[1]:.4f} at 1/2; ", end="")
    print(f"0.999 needs b / t = {gp.bias_for_mass(0.999, 9, 49):.3f}")
    assert max(abs(m - f) for m, f in zip(measured, formula, strict=True)) < 1e-12

    models = {"attention": trained(gp.Attention(8)), "mean": trained(gp.Mean())}
    right: dict[str, list[float]] = {name: [] for name in models}
    for side in SIDES:
        with torch.no_grad():
            x, label, place = needles(2000, side)
            for name, model in models.items():
                right[name].append(float((model(x).argmax(1) == label).float().mean()))
            weights = models["attention"].pool.decompose(models["attention"].features(x)).weights[:, 0, 0]
    on_needle = float((weights * place).sum((1, 2)).mean())
    best = [NormalDist().cdf(12 / side) for side in SIDES]  # signal 12 / cells in noise of 1 / side
    for name, values in (("side", SIDES), *right.items(), ("best of a mean", best)):
        print(f"{name:15}", *(f"{value:6.3g}" for value in values))
    print(f"attention on the needle at 32: {on_needle:.3f}, uniform {4 / 32**2:.3f}")
    assert min(right["attention"]) >= 0.9 > 0.7 > right["mean"][-1]
    assert on_needle >= 0.8
    figure = Figure((11, 3.2), layout="constrained")
    curve, needle, *panels = figure.subplots(1, 4, width_ratios=[1.7, 1.7, 1, 1])
    curve.semilogx(temperatures, formula[2:], "k-", label="formula")
    curve.semilogx(temperatures[::3], measured[2::3], "o", label="measured")
    curve.axhline(9 / 49, linestyle=":", label="mean: n / N")
    curve.set(xlabel="temperature", title="attention on a region")
    curve.legend(frameon=False)
    for name, values in right.items():
        needle.plot(SIDES, values, "o-", label=name)
    needle.plot(SIDES, best, "k:", label="best of a mean")
    needle.set(xlabel="side of the canvas", title="needle: accuracy", ylim=(0.5, 1.02))
    needle.legend(frameon=False)
    for panel, picture, title in zip(panels, (x[0, 0], weights[0]), ("canvas, marker", "attention"), strict=True):
        panel.imshow(picture.numpy(), cmap="viridis")
        panel.set(title=title, xticks=[], yticks=[])
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "15_attention.png"))
