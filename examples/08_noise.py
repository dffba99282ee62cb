"""High-frequency noise: what an average removes, what stride and rectifier let through, and why it is no defence.

    python examples/08_noise.py figure.png

Left: how much of a wave on a 7 x 7 map an average keeps, told from the pool's weights and tried. Middle: a checkerboard
on the INPUT of small trunks, over their response to a constant. Right: a trained network under a checkerboard, random
signs, and the worst case (FGSM, PGD) of the same amplitude.
"""

import math
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn

import globalpool as gp
from globalpool.audits import AuditData
from globalpool.audits.noise import fgsm, pgd
from globalpool.audits.opened import opened
from globalpool.audits.patterns import checkerboard, patterns
from globalpool.audits.pool_gain import measured_gain, predicted_gain

BLUR = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16


def filtered(kernel: torch.Tensor, stride: int = 1) -> nn.Conv2d:
    side = kernel.shape[0]
    layer = nn.Conv2d(1, 1, side, stride=stride, padding=side // 2, padding_mode="circular", bias=False)
    layer.weight.data.copy_(kernel.expand(1, 1, side, side))
    return layer


def main(out: Path) -> None:
    figure = Figure((12.5, 3.6), layout="constrained")
    waves, trunks, network = figure.subplots(1, 3)

    frequencies = [k / 80 for k in range(41)]
    for side, colour in ((7, "#a3162a"), (8, "#1b4f91")):
        here = opened(gp.PooledClassifier(nn.Identity(), gp.Mean(), nn.Linear(1, 2)), torch.randn(1, 1, side, side))
        diagonal = torch.arange(side)[:, None] + torch.arange(side)[None]
        found = [(2 * math.pi * f * diagonal.double()).cos() for f in frequencies]
        told = [float(predicted_gain(here, wave)) for wave in found]
        tried = [float(measured_gain(here, wave, 1.0)) for wave in found]
        assert max(abs(a - b) for a, b in zip(told, tried, strict=True)) < 1e-12
        assert abs(told[-1] - (1 / side**2 if side % 2 else 0)) < 1e-12
        waves.plot(frequencies, told, color=colour, label=f"{side} x {side}, predicted")
        waves.plot(
            frequencies, tried, "o", color=colour, markersize=3.5, label=f"measured; checkerboard {told[-1]:.4f}"
        )
    waves.set(title="an average of the map", xlabel="frequency along both axes", ylabel="gain")

    one, edge = torch.ones(1, 1), torch.tensor([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]])
    small = {
        "linear": filtered(edge),
        "stride 2": filtered(one, 2),
        "blur, stride 2": nn.Sequential(filtered(BLUR), filtered(one, 2)),
        "ReLU at its\nthreshold": nn.Sequential(filtered(edge), nn.ReLU()),
    }
    board, gains = checkerboard((16, 16)).float()[None, None], []
    with torch.no_grad():
        for trunk in small.values():
            still = trunk(torch.zeros(1, 1, 16, 16)).mean()
            gains.append(abs(float((trunk(0.1 * board).mean() - still) / (trunk(0.1 * torch.ones_like(board)).mean()))))
    for name, gain in zip(small, gains, strict=True):
        print(f"{name.replace(chr(10), ' '):22} checkerboard / constant {gain:.3f}")
    trunks.bar(list(small), gains, color="#1b4f91")
    trunks.set(title="a checkerboard on the input, then the average", ylabel="response over a constant's")
    trunks.tick_params(axis="x", labelsize=8)

    classifier = gp.models.efficientnet_lite0()
    spec = classifier.input_spec
    assert spec is not None
    chosen = [path for path in gp.data.photographs() if path.stem in ("chelsea", "coffee")]
    x = torch.cat([gp.data.prepare(gp.data.read_picture(path), spec, spec.size) for path in chosen])
    said = classifier(x).argmax(1)[:, None]
    random = torch.Generator().manual_seed(AuditData.seed)
    levels: tuple[int, ...] = (0, 1, 4, 8)
    kept: dict[str, list[float]] = {}
    for level in levels:
        amplitude = torch.tensor([level / 255 / std for std in spec.std]).reshape(1, 3, 1, 1)
        moved = {name: x + amplitude * pattern.float() for name, pattern in patterns((224, 224), random).items()}
        moved = {name: moved[name] for name in ("checkerboard", "random sign")}
        moved |= {"FGSM": fgsm(classifier, x, amplitude, random), "PGD": pgd(classifier, x, amplitude, random)}
        with torch.no_grad():
            for name, inputs in moved.items():
                kept.setdefault(name, []).append(float(classifier(inputs).softmax(1).gather(1, said).mean()))
    for (name, values), style in zip(kept.items(), ("s-", "o-", "v--", "^--"), strict=True):
        print(f"{name:14} probability of the class at 0, 1, 4, 8 / 255:", *(f"{value:.3f}" for value in values))
        network.plot(levels, values, style, label=name)
    network.set(title="EfficientNet-Lite0", xlabel="amplitude, 1/255", ylabel="probability of its class", ylim=(0, 1))
    for axes in (waves, network):
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "08_noise.png"))
