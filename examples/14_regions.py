"""Regions: what they keep of the mean, and what they know that the mean does not.

    python examples/14_regions.py figure.png

Exact bins keep the mean at every size, overlapping integer bins do not. Pictures with A above B, and the same pictures
upside down, have the same pixels: over a 1 x 1 trunk the mean cannot tell them apart, quadrants can, and so do masks
that learn where to look. Their evidence still adds up to the logit.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import globalpool as gp

SIDE = 8


def gaps(partition: str, sides: list[int]) -> list[float]:
    """Largest difference between the mean of four quadrants and the mean, for maps of each side."""
    pool, found = gp.Grid(2, 2, partition="exact" if partition == "exact" else "torch"), []
    for side in sides:
        x = torch.randn(64, 8, side, side, dtype=torch.float64)
        found.append(float((pool.decompose(x).value.mean(1) - gp.Mean()(x)).abs().max()))
    return found


def pictures(count: int) -> tuple[Tensor, Tensor]:
    """A (channel 0) above B (channel 1), class 0, then the same upside down, class 1."""
    x = torch.randn(count, 4, SIDE, SIDE)
    for picture in x:
        for channel in (0, 1):
            row, column = int(torch.randint(0, 3, ())) + 4 * channel, int(torch.randint(0, 7, ()))
            picture[channel, row : row + 2, column : column + 2] += 3
    return torch.cat([x, x.flip(2)]), torch.arange(2).repeat_interleave(count)


def trained(pool: gp.Pool, x: Tensor, label: Tensor) -> gp.PooledClassifier:
    trunk = nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1))
    model = gp.PooledClassifier(trunk, pool, nn.Linear(pool.out_features(8), 2))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(150):
        chosen = torch.randint(0, len(x), (64,))
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[chosen]), label[chosen]).backward()
        optimiser.step()
    return model.eval()


def main(out: Path) -> None:
    torch.manual_seed(0)
    sides = list(range(2, 17))
    errors = {partition: gaps(partition, sides) for partition in ("exact", "torch")}
    for partition, values in errors.items():
        print(f"mean of quadrants - mean, {partition}: even {max(values[::2]):.1e}, odd {max(values[1::2]):.1e}")
    assert max(errors["exact"]) < 1e-14 < 1e-3 < min(errors["torch"][1::2])

    place = gp.PositionGrid(SIDE, SIDE, heads=2, std=0.1)
    masks = gp.LearnedRegions(8, 2, content=None, position=place, normalize="mass")
    pools = {"mean": gp.Mean(), "quadrants": gp.Grid(2, 2), "learned masks": masks}
    models = {name: trained(pool, *pictures(256)) for name, pool in pools.items()}
    x, label = pictures(500)
    with torch.no_grad():
        right = {name: float((model(x).argmax(1) == label).float().mean()) for name, model in models.items()}
        features = models["learned masks"].features(x[:1])
        learned, masses = masks.masks(features)[0], masks.masses(features)
        evidence = models["learned masks"].evidence(x[[0, 500]], "all").check()
    print("accuracy:", {name: round(value, 3) for name, value in right.items()})
    print(f"masks sum to 1 within {float((learned.sum(0) - 1).abs().max()):.0e}, ", end="")
    print(f"usage entropy {float(gp.usage_entropy(masses)):.3f} of ln 2 = 0.693")
    assert right["mean"] == 0.5
    assert min(right["quadrants"], right["learned masks"]) > 0.95

    figure = Figure((13, 3.2), layout="constrained")
    curve, bars, *panels = figure.subplots(1, 5, width_ratios=[2, 1.7, 1, 1, 1])
    for partition, values in errors.items():
        curve.semilogy(sides, [max(value, 1e-17) for value in values], "o-", label=f'"{partition}"')
    curve.set(xlabel="side of the map", title="|mean of quadrants - mean|")
    curve.legend(frameon=True, loc="center right")
    bars.bar(list(right), list(right.values()), color=["grey", "tab:blue", "tab:orange"])
    bars.axhline(0.5, linestyle=":", color="black")
    bars.set(ylim=(0, 1.05), title="A above B: accuracy")
    panels[0].imshow(learned[0].numpy(), vmin=0, vmax=1, cmap="cividis")
    panels[0].set_title("a learned mask", fontsize=9)
    why = evidence.contrast(0, 1).maps[:, 0]
    limit = float(why.abs().max())
    for panel, own, title in zip(panels[1:], why, ("A above B", "B above A"), strict=True):
        panel.imshow(own.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
        panel.set_title(f"evidence for A above B,\npicture: {title}", fontsize=9)
    for panel in panels:
        panel.set_axis_off()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "14_regions.png"))
