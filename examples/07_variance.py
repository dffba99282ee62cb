"""Averaging as regulariser: how many independent positions a mean over a map is worth.

    python examples/07_variance.py figure.png

Left: drawn fields whose neighbours are correlated; the mean of a 7 x 7 map is worth 49 positions only where they are
not. Middle: white noise through wider and wider filters is worth N sum k^2 / (sum k)^2. Right: the channels of a
trained network over real photographs, by their spatial correlation, and with positions shuffled between pictures.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import globalpool as gp
from globalpool.audits.effective import autoregressive, from_correlation, from_neighbours, measured, shuffled

DRAWS = 2000


def fields(side: int, phi: float, random: torch.Generator) -> Tensor:
    """Correlated by phi to the distance along each axis."""
    factor = torch.linalg.cholesky(autoregressive((side,), phi))
    drawn = torch.randn(DRAWS, side, side, generator=random, dtype=torch.float64)
    return torch.einsum("ij,njk,lk->nil", factor, drawn, factor)[:, None]


def mean(maps: Tensor) -> Tensor:
    vectors: Tensor = gp.Mean()(maps)
    return vectors


def main(out: Path) -> None:
    random = torch.Generator().manual_seed(0)
    figure = Figure((12.5, 3.6), layout="constrained")
    fields_of, filters, network = figure.subplots(1, 3)

    correlations = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9)
    for side, style in ((7, "o"), (14, "s")):
        told = [float(from_correlation(autoregressive((side, side), phi))) for phi in correlations]
        found = []
        for phi in correlations:
            maps = fields(side, phi, random)
            found.append(float(measured(maps, mean(maps))))
        (line,) = fields_of.plot(correlations, told, label=f"{side} x {side}, predicted")
        fields_of.plot(correlations, found, style, color=line.get_color(), label="drawn and measured")
        print(
            f"{side:2} x {side:2}, correlation 0.9: predicted {told[-1]:.2f} of {side * side}, measured {found[-1]:.2f}"
        )
        assert all(abs(a / b - 1) < 0.15 for a, b in zip(found, told, strict=True))
    fields_of.set(title="correlated fields", xlabel="correlation of neighbours", yscale="log")

    widths, side = (1, 3, 5, 7), 16
    noise = torch.randn(DRAWS, 1, side, side, generator=random, dtype=torch.float64)
    worth = []
    for width in widths:
        box = torch.ones(1, 1, width, width, dtype=torch.float64)
        wide = torch.nn.functional.pad(noise, (width // 2,) * 4, "circular")
        maps = torch.nn.functional.conv2d(wide, box)
        assert torch.allclose(mean(maps), width**2 * mean(noise))  # a circular filter leaves the mean as it was
        worth.append(float(measured(maps, mean(maps))))
    filters.plot(widths, [side**2 / width**2 for width in widths], label="predicted, N / width^2")
    filters.plot(widths, worth, "o", label="measured")
    filters.set(title=f"white noise on {side} x {side} through a box", xlabel="width of the box", yscale="log")

    classifier = gp.models.efficientnet_lite0()
    spec = classifier.input_spec
    assert spec is not None
    with torch.inference_mode():
        files = gp.data.photographs()
        pictures = [gp.data.prepare(gp.data.read_picture(file), spec, spec.size) for file in files]
        maps = torch.cat([classifier.features(x) for x in pictures]).double()
    control = shuffled(maps, random)
    own, other = measured(maps, mean(maps)), measured(control, mean(control))
    alive = own.isfinite() & other.isfinite()
    near = from_neighbours(maps)
    network.hist(
        [own[alive].tolist(), other[alive].tolist()],
        bins=30,
        range=(0, 150),
        label=["photographs", "positions shuffled"],
    )
    network.axvline(49, color="gray", linewidth=0.8)
    network.set(title="EfficientNet-Lite0, 7 x 7", xlabel="effective positions of 49", ylabel="channels")
    print(f"a channel's mean over a photograph is worth {float(own[alive].median()):.1f} positions of 49 (median;")
    print(f"told from neighbours {float(near.nanmedian()):.1f}),")
    print(f"with positions shuffled between photographs {float(other[alive].median()):.1f}")
    for axes in (fields_of, filters, network):
        axes.legend(frameon=False, fontsize=8)
    for axes in (fields_of, filters):
        axes.set_ylabel("effective positions")
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "07_variance.png"))
