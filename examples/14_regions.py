"""Regions: exact bins keep the mean at every size, overlapping integer bins do not.

    python examples/14_regions.py figure.png

The mean of the four quadrant means should be the global mean. With torch's adaptive bins the middle row and column
of an odd map count twice; the exact partition splits them by area. A head over quadrants still explains every
position, and a padded sample's quadrants are its own.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

import globalpool as gp


def main(out: Path) -> None:
    torch.manual_seed(0)
    sides = list(range(2, 17))
    errors: dict[str, list[float]] = {"exact": [], "torch": []}
    for side in sides:
        x = torch.randn(64, 8, side, side, dtype=torch.float64)
        mean = gp.Mean()(x)
        for pool in (gp.Grid(2, 2, partition="exact"), gp.Grid(2, 2, partition="torch")):
            of_regions = pool.decompose(x).value.mean(1)
            errors[pool.partition].append(float((of_regions - mean).abs().max()))
    print("largest |mean of quadrants - mean|, sides 2 to 16")
    for partition, values in errors.items():
        print(f"  {partition}: even sides {max(values[::2]):.1e}, odd sides {max(values[1::2]):.1e}")
    assert max(errors["exact"]) < 1e-14
    assert min(errors["torch"][1::2]) > 1e-3

    # Above and below: two pictures with the same pixels in another order, told apart by where they are.
    head = gp.PooledHead(gp.Grid(2, 1), in_features=2, num_classes=2, bias=False)
    with torch.no_grad():
        head.tail.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))  # region-major: above, below
    above = torch.zeros(1, 1, 7, 7)
    above[..., 1:3, 2:5] = 1
    both = torch.cat([above, above.flip(2)])
    print("logits for 'above' and 'below':", head(both).detach().round(decimals=3).tolist())
    print("the mean sees no difference:", gp.Mean()(both).flatten().tolist())
    evidence = head.evidence(both, "all").check()

    padded = torch.nn.functional.pad(both, (0, 5, 0, 9), value=float("nan"))
    own = head(padded, sizes=torch.tensor([[7, 7], [7, 7]]))
    torch.testing.assert_close(own, head(both))

    figure = Figure((11, 3.2), layout="constrained")
    curve, *pictures = figure.subplots(1, 4, width_ratios=[2.2, 1, 1, 1])
    for partition, values in errors.items():
        curve.semilogy(sides, [max(value, 1e-17) for value in values], "o-", label=f'partition="{partition}"')
    curve.set_xlabel("side of the map")
    curve.set_ylabel("|mean of quadrants - mean|")
    curve.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    pictures[0].imshow(both[0, 0].numpy(), cmap="gray")
    pictures[0].set_title("above")
    limit = float(evidence.maps.detach().abs().max())
    for place, panel in enumerate(pictures[1:]):
        panel.imshow(evidence.maps[place, 0].detach().numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
        panel.set_title(f"evidence for 'above',\nobject {('above', 'below')[place]}", fontsize=9)
    for panel in pictures:
        panel.set_axis_off()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "14_regions.png"))
