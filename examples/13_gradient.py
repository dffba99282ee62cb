"""How gradient reaches the voxels of a volume: predicted from the weights, measured, and what float16 keeps.

    python examples/13_gradient.py figure.png

A mean over D H W voxels hands each of them one part in D H W of the gradient. That is no vanishing gradient: the
weights of the trunk sum it up over as many voxels. But float16 rounds what lies below 2^-25 to zero, here everything at
64 x 64 x 64; a loss scale brings it back.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import globalpool as gp
from globalpool.audits.map_gradients import half_gradient, map_gradient
from globalpool.audits.opened import Opened

SIDES, CHANNELS, UPSTREAM = (4, 8, 16, 32, 48, 64), 4, 1e-3
TARGET = torch.tensor([0])


def head(pool: gp.Pool) -> tuple[gp.Pool, nn.Linear]:
    """Two classes with almost equal logits: the loss has a derivative of -1e-3 at every pooled channel."""
    tail = nn.Linear(CHANNELS, 2)
    with torch.no_grad():
        tail.weight.copy_(torch.tensor([[UPSTREAM], [-UPSTREAM]]).expand(2, CHANNELS))
        tail.bias.zero_()
    return pool, tail


def trunk_gradient(x: Tensor, pool: gp.Pool, tail: nn.Module) -> float:
    """The norm of the gradient at a convolution's weight before the pool."""
    convolution = nn.Conv3d(CHANNELS, CHANNELS, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.eye(CHANNELS)[:, :, None, None, None])
    loss = nn.functional.cross_entropy(tail(pool(convolution(x))), TARGET)
    return float(torch.autograd.grad(loss, convolution.weight)[0].norm())


def main(out: Path) -> None:
    random = torch.Generator().manual_seed(0)
    lines: dict[str, list[float]] = {"predicted": [], "measured": [], "norm": [], "trunk": []}
    lost: dict[str, list[float]] = {"no loss scale": [], "loss scale 2^14": []}
    for side in SIDES:
        x = torch.rand(1, CHANNELS, side, side, side, generator=random)
        at = Opened(x, {}, *head(gp.Mean()))
        found = map_gradient(at, TARGET, random)
        assert found.predicted is not None
        assert found.error < 1e-6
        lines["predicted"].append(float(found.predicted.abs().max()))
        lines["measured"].append(float(found.measured.abs().max()))
        lines["norm"].append(float(found.measured.norm()))
        lines["trunk"].append(trunk_gradient(x, at.pool, at.tail))
        for name, scale in zip(lost, (1.0, 2.0**14), strict=True):
            half, _ = half_gradient(at, TARGET, found.measured, scale)
            lost[name].append(half.zeros / half.count)
        voxel, trunk, expected = lines["measured"][-1], lines["trunk"][-1], lines["predicted"][-1]
        print(
            f"{side:2}^3: at a voxel {voxel:.3e} (predicted {expected:.3e}), at the trunk's weight {trunk:.2e}, ",
            end="",
        )
        print("lost in float16 " + ", ".join(f"{values[-1]:.0%} ({name})" for name, values in lost.items()))
    assert lost["no loss scale"][-1] == 1
    assert max(lost["loss scale 2^14"]) == 0
    assert lines["trunk"][-1] > 0.9 * lines["trunk"][0]

    figure = Figure((9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    voxels = [side**3 for side in SIDES]
    left.loglog(voxels, lines["trunk"], "s-", color="#3b7d5a", label="at the trunk's weight, norm")
    left.loglog(voxels, lines["norm"], "^-", color="#8a93a3", label="over the map, norm: (D H W)^-1/2")
    left.loglog(voxels, lines["measured"], "o", color="#a3162a", label="at a voxel, measured")
    left.loglog(voxels, lines["predicted"], "-", color="#a3162a", label="at a voxel, from the weights: 1 / (D H W)")
    left.axhline(2**-25, color="#444b58", linestyle=":", label="float16 rounds to zero below")
    left.set_ylim(1e-12, 1e-2)
    left.set_xlabel("voxels of the map")
    left.set_ylabel("gradient")
    left.legend(fontsize=7, frameon=False, loc="lower left")
    for (name, values), style in zip(lost.items(), ("o-", "s-"), strict=True):
        right.semilogx(voxels, values, style, label=name)
    right.set_xlabel("voxels of the map")
    right.set_ylabel("share of the gradient that float16 loses")
    right.legend(fontsize=8, frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "13_gradient.png"))
