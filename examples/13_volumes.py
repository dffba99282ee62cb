"""Volumes: what the factor 1 / (D H W) does, a mean in millimetres, and evidence inside a solid.

    python examples/13_volumes.py figure.png

A mean hands each position g / (D H W): in half precision that is nothing at 64^3, and scaling the loss brings it back.
Uneven slices count by their thickness. A small network learns packaged solids; its evidence adds up to the logit.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import globalpool as gp
from globalpool.data.solids import BODIES, solids
from globalpool.data.volume import Axis, Volume
from globalpool.data.volumes import Volumes

SIDES = (8, 16, 32, 48, 64)


def gradients(side: int) -> list[float]:
    """Largest |dF| and norm of dW for g = 1e-3; shares of dF that half precision loses, plain and scaled."""
    convolution = nn.Conv3d(1, 2, 3, padding=1)
    features = convolution(torch.rand(1, 1, side, side, side)).relu()
    pair = (features, convolution.weight)
    largest, weights = torch.autograd.grad(gp.Mean()(features), pair, torch.full((1, 2), 1e-3))
    found = [float(largest.abs().max()), float(weights.norm())]
    for scale in (1.0, 2.0**16):
        half = features.detach().half().requires_grad_()
        (grad,) = torch.autograd.grad(scale * 1e-3 * gp.Mean()(half).float().sum(), half)
        found.append(float((grad == 0).float().mean()))
    return found


def mean_of_slices(heights: Tensor) -> tuple[float, float]:
    """Mean of a signal along z over uneven slices: by voxels, and by their thickness as a pool counts them."""
    values = torch.exp(-heights / 10).expand(1, 4, 4, -1).numpy()
    x, y, z = (*(Axis.even(name, "mm", 4, 1.0) for name in "xy"), Axis.at("z", "mm", heights.tolist()))
    item = Volume(Path("scan"), values, (x, y, z), np.eye(4))
    inputs = Volumes((0.0,), (1.0,))
    (part,) = inputs.collate([inputs.prepare(item)])
    return float(values.mean()), float(gp.Mean()(part.values, mask=part.measure))


def trained(x: Tensor, label: Tensor) -> gp.PooledClassifier:
    network = gp.models.convnet(3, 1, 3, (8, 16, 32), first_stride=2)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for step, rows in enumerate(torch.arange(240 * 16).reshape(-1, 16) % len(x)):
        optimiser.param_groups[0]["lr"] = 0.01 * (1 - step / 240)
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), label[rows]).backward()
        optimiser.step()
    return network.eval()


def main(out: Path) -> None:
    torch.manual_seed(0)
    table = np.array([gradients(side) for side in SIDES])
    slope = np.polyfit(3 * np.log(SIDES), np.log(table[:, 0]), 1)[0]
    print(f"slope of max |dF|: {slope:+.3f}; lost at 64^3: {table[-1, 2:]}")
    assert abs(slope + 1) < 0.02
    assert table[-1, 2:].tolist() == [1, 0]
    heights = torch.cat([torch.arange(0.5, 8), torch.arange(10.0, 40, 4)])  # eight thin slices, eight thick ones
    (plain, weighted), truth = mean_of_slices(heights), 10 / 40 * (1 - np.exp(-4))  # of exp(-z / 10) over 40 mm
    print(f"mean over 40 mm: {truth:.3f}; by voxels {plain:.3f}, by thickness {weighted:.3f}")
    assert abs(weighted - truth) < 0.02 < abs(plain - truth)
    train, test = solids(0, 480, sides=(24.0,)), solids(0, 60, sides=(24.0,), split="test")
    x, held = (torch.from_numpy(np.stack(data.volumes))[:, None] for data in (train, test))
    network = trained(x, torch.from_numpy(train.bodies))
    with torch.inference_mode():
        evidence = network.evidence(held, "all").check()
    right = float((evidence.logits.argmax(1).numpy() == test.bodies).mean())
    print(f"held-out accuracy {right:.3f}; evidence off by {float(evidence.residual().max()):.0e}")
    assert right > 0.8
    figure = Figure((12, 6), layout="constrained")
    curves, loss, *panels = figure.subplots(2, 4).T.flat
    for panel, column, names in ((curves, 0, ("max |dF|", "|dW|")), (loss, 2, ("plain", "loss times 65536"))):
        panel.semilogx(np.power(SIDES, 3), table[:, column : column + 2], "o-", label=names)
        panel.set(xlabel="voxels", title="lost in half precision" if column else "gradients of a mean, g = 0.001")
        panel.legend(fontsize=8)
    curves.set_yscale("log")
    for body, (above, below) in enumerate(zip(panels[::2], panels[1::2], strict=True)):
        index = int(np.flatnonzero(test.bodies == body)[0])
        found = evidence.centered().select(body).interpolate(24)[index][0].numpy()
        limit, cut = np.abs(found).max(), int(np.abs(found).max((1, 2)).argmax())
        above.imshow(test.volumes[index][cut], cmap="gray")
        below.imshow(found[cut], cmap="RdBu_r", vmin=-limit, vmax=limit)
        for panel, title in ((above, f"{BODIES[body]}, slice {cut}"), (below, f"evidence for {BODIES[body]}")):
            panel.set_title(title, fontsize=9)
            panel.set_axis_off()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "13_volumes.png"))
