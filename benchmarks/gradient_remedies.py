"""The factor 1 / (D H W) of a mean over a volume, and what is said to help against it: measured.

    python benchmarks/gradient_remedies.py [--quick]

One convolution (4 to 8 channels, 3 x 3 x 3), ReLU, a pool, a gradient g of norm 1 on the pooled vector. In float32 for
volumes of 8^3 to 64^3 (five draws, geometric means): slopes over the number of positions of the largest |dF|, the norm
of dF, and the norm of the gradient dW of the convolution. In half precision at 64^3 with g = 1e-3 an entry: the share
of dF that is exactly zero, without and with the loss scaled by 2^16. Then optimisers on the same mean, with gradients
of the trunk as they are and multiplied by DHW. Writes results/gradient_remedies.md.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import globalpool as gp

RESULTS = Path(__file__).parent / "results" / "gradient_remedies.md"
CHANNELS, GIVEN, SCALE = 8, 1e-3, 2.0**16


class Cells(nn.Module):
    """Means of 2 x 2 x 2 positions until 4 a side are left, then a pool."""

    def __init__(self, pool: gp.Pool) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        while x.shape[2] > 4:
            x = x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).unflatten(6, (-1, 2)).mean((3, 5, 7))
        vectors: Tensor = self.pool(x)
        return vectors


def sharp() -> gp.Pool:
    """Attention whose scores tell positions apart, as after training; at zero scores it is the mean."""
    pool = gp.Attention(CHANNELS)
    for parameter in pool.parameters():
        nn.init.normal_(parameter, std=8.0)
    return pool


POOLS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "Mean": (gp.Mean, "the factor itself: weights do not notice it, half precision does"),
    "means of 2 x 2 x 2, then Mean": (lambda: Cells(gp.Mean()), "no help: the factors multiply to the same one"),
    "ScaledSum(1/2)": (lambda: gp.ScaledSum(0.5), "half of the factor; weights' gradients now GROW with the volume"),
    "Sum": (gp.Sum, "no factor; weights' gradients and logits grow with the volume"),
    "GeM(3)": (lambda: gp.GeM(3.0), "large values get more, the sum of all weights stays about one"),
    "TopK(64)": (lambda: gp.TopK(64), "1/64 for the largest, nothing for all others"),
    "Max": (gp.Max, "all for one position, nothing for all others"),
    "Attention, zero scores": (lambda: gp.Attention(CHANNELS), "as it starts: the mean"),
    "Attention, sharp scores": (sharp, "concentrates as far as its scores do"),
}


def gradients(pool: nn.Module, side: int, seed: int) -> tuple[float, float, float]:
    torch.manual_seed(seed)
    convolution, given = nn.Conv3d(4, CHANNELS, 3, padding=1), torch.randn(1, CHANNELS)
    features = convolution(torch.randn(1, 4, side, side, side).relu()).relu()
    features.retain_grad()
    pool(features).backward(given / given.norm())
    assert features.grad is not None
    assert convolution.weight.grad is not None
    return float(features.grad.abs().max()), float(features.grad.norm()), float(convolution.weight.grad.norm())


def slopes(make: Callable[[], nn.Module], sides: list[int], seeds: int) -> list[float]:
    found = []
    for seed in range(seeds):
        torch.manual_seed(1000 + seed)
        pool = make()
        found.append([gradients(pool, side, seed) for side in sides])
    logs = np.log(np.maximum(np.asarray(found), 1e-300)).mean(0)
    return [float(value) for value in np.polyfit(np.log([side**3 for side in sides]), logs, 1)[0]]


def zeros(make: Callable[[], nn.Module], side: int, scale: float) -> float:
    """Share of exact zeros in the gradient of half-precision features."""
    torch.manual_seed(0)
    pool = make()
    x = torch.rand(1, CHANNELS, side, side, side).half().requires_grad_()
    (scale * GIVEN * pool(x).float().sum()).backward()
    assert x.grad is not None
    return float((x.grad == 0).float().mean())


def drift(make: Callable[[list[Tensor]], torch.optim.Optimizer], side: int, eps_scale: float) -> float:
    """Relative difference of a trunk's weights after 10 steps, its gradient multiplied by DHW against as it is."""
    ends = []
    for factor in (1.0, float(side**3)):
        torch.manual_seed(0)
        trunk, head = nn.Conv3d(2, 4, 3, padding=1).double(), nn.Linear(4, 2).double()
        start = trunk.weight.detach().clone()
        optimiser = make(list(trunk.parameters()))
        x, label = torch.randn(4, 2, side, side, side).double(), torch.tensor([0, 1, 0, 1])
        for _ in range(10):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(head(gp.Mean()(trunk(x).relu())), label) * eps_scale
            loss.backward()
            for parameter in trunk.parameters():
                assert parameter.grad is not None
                parameter.grad *= factor
            optimiser.step()
        ends.append(trunk.weight.detach() - start)
    return float((ends[1] - ends[0]).norm() / ends[0].norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and nothing written")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    sides, seeds, large = ([8, 16], 2, 16) if quick else ([8, 16, 32, 64], 5, 64)
    lines = ["# The factor 1 / (D H W), and what helps", "", *(__doc__ or "").split("\n\n")[2].splitlines(), ""]
    lines += ["| pool | slope of max dF | of norm dF | of norm dW | zeros in half | with the loss scaled | |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for name, (make, verdict) in POOLS.items():
        cells = [f"{value:+.2f}" for value in slopes(make, sides, seeds)]
        cells += [f"{zeros(make, large, scale):.3f}" for scale in (1.0, SCALE)]
        lines.append(f"| {name} | {' | '.join(cells)} | {verdict} |")
        print(lines[-1], flush=True)
    adam, sgd = (lambda p: torch.optim.Adam(p, 1e-3)), (lambda p: torch.optim.SGD(p, 1e-3))
    lines += ["", '"Multiply the gradient by DHW": how far the weights\' path of 10 steps moves from the plain one.']
    lines += ["", "| optimiser | relative difference |", "| --- | --- |"]
    side = 8 if quick else 16
    lines += [f"| Adam, gradients as they are | {drift(adam, side, 1.0):.1e} (nothing but its epsilon of 1e-8) |"]
    lines += [
        f"| Adam, all gradients 1e-8 of that | {drift(adam, side, 1e-8):.1e} (its epsilon is the larger number) |"
    ]
    lines += [f"| SGD | {drift(sgd, side, 1.0):.1e} (another learning rate for the trunk) |", ""]
    lines += [
        "What cures half precision is scaling the loss: exact, and it costs nothing. `Max` and `TopK` have zeros of",
        "their own, positions that got no weight. No pool here is better for a small gradient: pools differ in what",
        "they say about the volume, and that is the reason to choose one.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if not quick:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
