"""A above B against B above A: the same pixels in another order, which no mean over a 1 x 1 trunk can tell.

A picture of 8 x 8 cells of noise holds object A (2 x 2 cells, +3 in channel 0) anywhere in one half and B (+3 in
channel 1) anywhere in the other. Its mirror image has the same cells, and the other class. Thresholds were fixed on
seeds 100 to 104.
"""

from collections.abc import Callable
from functools import partial

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

import globalpool as gp
from tests.learned.paired import SEEDS, paired

CHANNELS, SIDE = 4, 8


def pairs(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """``count`` pictures with A above B (class 0), then their mirror images (class 1)."""
    x = torch.randn(count, CHANNELS, SIDE, SIDE, generator=generator)
    index = torch.arange(SIDE)
    for channel, first_row in ((0, 0), (1, SIDE // 2)):
        row = first_row + torch.randint(0, SIDE // 2 - 1, (count, 1), generator=generator)
        column = torch.randint(0, SIDE - 1, (count, 1), generator=generator)
        rows, columns = (((index - start) >= 0) & ((index - start) < 2) for start in (row, column))
        x[:, channel] += 3 * (rows[:, :, None] & columns[:, None])
    return torch.cat([x, x.flip(2)]), torch.arange(2).repeat_interleave(count)


class Network(nn.Module):
    """A 1 x 1 trunk, so that only the pool can know where things are."""

    def __init__(self, pool: gp.Pool) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(CHANNELS, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1))
        self.head = gp.PooledHead(pool, pool.out_features(8), 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(x))
        return logits


def masks(regions: int = 2) -> gp.LearnedRegions:
    place = gp.PositionGrid(SIDE, SIDE, heads=regions, std=0.1)
    return gp.LearnedRegions(8, regions, content=None, position=place, normalize="mass")


def frozen_masks() -> gp.LearnedRegions:
    """Random masks as sharp as learned ones; only trunk and tail are trained."""
    place = gp.PositionGrid(SIDE, SIDE, heads=2, std=4.0)
    place.table.requires_grad_(False)
    return gp.LearnedRegions(8, 2, content=None, position=place, normalize="mass")


POOLS: dict[str, Callable[[], gp.Pool]] = {
    "mean": gp.Mean,
    "quadrants": partial(gp.Grid, 2, 2),
    "learned masks": masks,
    "random masks": frozen_masks,
}


def trained(pool: Callable[[], gp.Pool], seed: int, shuffle: bool = False) -> Network:
    torch.manual_seed(seed)
    network, generator = Network(pool()), torch.Generator().manual_seed(seed)
    x, label = pairs(256, generator)
    if shuffle:
        label = label[torch.randperm(len(label), generator=generator)]
    optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.03, weight_decay=1e-4)
    for _ in range(150):
        chosen = torch.randint(0, len(x), (64,), generator=generator)
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x[chosen]), label[chosen]).backward()
        optimiser.step()
    return network


@torch.no_grad()
def accuracy(network: Network, seed: int) -> float:
    x, label = pairs(250, torch.Generator().manual_seed(1000 + seed))
    return float((network(x).argmax(1) == label).float().mean())


@torch.no_grad()
def overlap_with_the_halves(network: Network) -> float:
    """Mean intersection over union of the masks and the two halves, matched as well as they can be."""
    pool = network.head.pool
    assert isinstance(pool, gp.LearnedRegions)
    largest = pool.masks(torch.zeros(1, 8, SIDE, SIDE))[0].argmax(0)
    upper = (torch.arange(SIDE) < SIDE // 2)[:, None].expand(SIDE, SIDE)
    overlaps = torch.zeros(2, 2)
    for region in range(2):
        for half, cells in enumerate((upper, ~upper)):
            mine = largest == region
            overlaps[region, half] = (mine & cells).sum() / (mine | cells).sum()
    rows, columns = linear_sum_assignment(overlaps.numpy(), maximize=True)
    return float(overlaps[rows, columns].mean())


def test_the_mean_is_at_chance_by_construction() -> None:
    for seed in SEEDS:
        torch.manual_seed(seed)
        network = Network(gp.Mean()).double()
        x, _ = pairs(100, torch.Generator().manual_seed(seed))
        first, mirrored = network(x.double()).chunk(2)
        torch.testing.assert_close(first, mirrored, rtol=0, atol=1e-14)


def test_regions_know_the_order_and_learned_masks_find_the_halves() -> None:
    networks = {name: [trained(pool, seed) for seed in SEEDS] for name, pool in POOLS.items()}
    found = {
        name: [accuracy(network, seed) for network, seed in zip(of, SEEDS, strict=True)]
        for name, of in networks.items()
    }
    sanity = [accuracy(trained(masks, seed, shuffle=True), seed) for seed in SEEDS]
    overlaps = [overlap_with_the_halves(network) for network in networks["learned masks"]]
    by_chance = [overlap_with_the_halves(network) for network in networks["random masks"]]
    entropies = []
    for seed, network in zip(SEEDS, networks["learned masks"], strict=True):
        pool = network.head.pool
        assert isinstance(pool, gp.LearnedRegions)
        x, _ = pairs(50, torch.Generator().manual_seed(2000 + seed))
        entropies.append(gp.usage_entropy(pool.masses(network.trunk(x))).item())
    print(f"{found}\nshuffled labels {sanity}\noverlap {overlaps}, random {by_chance}\nusage entropy {entropies}")
    print(f"masks - mean {paired(found['learned masks'], found['mean'])}")
    print(f"overlap - random {paired(overlaps, by_chance)}")
    assert all(abs(value - 0.5) < 0.02 for value in found["mean"])
    assert min(found["quadrants"]) >= 0.95
    assert min(found["learned masks"]) >= 0.95
    assert paired(found["learned masks"], found["mean"]).low > 0.4
    assert paired(found["learned masks"], found["random masks"]).low > 0
    assert abs(sum(sanity) / len(sanity) - 0.5) < 0.1
    assert min(overlaps) >= 0.8
    assert max(by_chance) <= 0.6
    assert paired(overlaps, by_chance).low > 0.2
    assert min(entropies) > 0.9 * torch.tensor(2.0).log().item()  # neither mask has taken everything
