"""Attention pooling: from the mean at high temperature to a region of interest at low temperature.

    python examples/15_attention.py figure.png

A position bias b on n = 9 of N = 49 cells gives them the mass n e^(b/t) / (n e^(b/t) + N - n). Measured masses lie on
the formula; zero scores are the mean exactly; between equal maxima the weight is shared.
"""

import math
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

import globalpool as gp

INSIDE, SIDE, BIAS = 3, 7, 4.0


def main(out: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 4, SIDE, SIDE, dtype=torch.float64)
    place = gp.PositionGrid(SIDE, SIDE).double()
    pool = gp.Attention(4, content=None, position=place)
    assert pool.affine
    torch.testing.assert_close(pool(x), gp.Mean()(x))
    print("zero scores: the mean")

    region = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    region[1 : 1 + INSIDE, 3 : 3 + INSIDE] = True
    with torch.no_grad():
        place.table[region] = BIAS
    temperatures = torch.logspace(-1, 2, 61).tolist()
    n, total = INSIDE**2, SIDE**2
    measured, formula = [], []
    for temperature in [1.0, 0.5, *temperatures]:
        pool.temperature = temperature
        weights = pool.decompose(x).weights[0, 0, 0].detach()
        measured.append(float(weights[region].sum()))
        formula.append(1 / (1 + (total - n) / n * math.exp(-BIAS / temperature)))
    print(f"mass on the region: {measured[0]:.4f} at temperature 1, {measured[1]:.4f} at 0.5")
    for delta in (1e-2, 1e-3, 1e-6):
        need = math.log((1 - delta) * (total - n) / (delta * n))
        pool.temperature = BIAS / need
        mass = float(pool.decompose(x).weights[0, 0, 0].detach()[region].sum())
        print(f"mass 1 - {delta:g} needs b/t = {need:.3f}: measured 1 - {1 - mass:.3g}")
    assert max(abs(m - f) for m, f in zip(measured, formula, strict=True)) < 1e-12

    pool.temperature = 0.02
    inside = x[..., region].mean(2)
    print(f"cold attention against the mean over the region: {float((pool(x) - inside).detach().abs().max()):.1e}")

    figure = Figure((9, 3.4), layout="constrained")
    curve, *panels = figure.subplots(1, 4, width_ratios=[2.6, 1, 1, 1])
    curve.semilogx(temperatures, formula[2:], "k-", linewidth=1, label="formula")
    curve.semilogx(temperatures[::3], measured[2::3], "o", markersize=4, label="measured")
    curve.axhline(n / total, linestyle=":", color="grey", label="mean: n / N")
    curve.set_xlabel("temperature")
    curve.set_ylabel("attention on the region")
    curve.legend(frameon=False)
    for panel, temperature in zip(panels, (100.0, 4.0, 0.5), strict=True):
        pool.temperature = temperature
        panel.imshow(pool.decompose(x).weights[0, 0, 0].detach().numpy(), vmin=0, vmax=1 / n, cmap="viridis")
        panel.set_title(f"temperature {temperature:g}", fontsize=9)
        panel.set_axis_off()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "15_attention.png"))
