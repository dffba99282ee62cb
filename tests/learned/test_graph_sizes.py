"""Graphs of 10 to 20 nodes in training, of 50 to 100 in the test: a sum knows how many, a mean which share.

Rings whose nodes are red or not; the target is how many nodes (or which share of them) are red between two red ones,
so that it takes messages to see it. Five paired seeds; as sanity, targets dealt out at random, which nobody can learn.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

import globalpool as gp
from globalpool.models import gin
from tests.learned.paired import SEEDS, paired

TRAINED, TESTED = (10, 20), (50, 100)


def rings(count: int, sizes: tuple[int, int], seed: int) -> tuple[Any, Tensor, Tensor]:
    """A batch of rings, and of each the number and the share of red nodes between red ones."""
    random = torch.Generator().manual_seed(seed)
    graphs, found = [], []
    for nodes in torch.randint(sizes[0], sizes[1] + 1, (count,), generator=random).tolist():
        share = float(torch.rand((), generator=random))
        red = (torch.rand(nodes, generator=random) < share).float()
        places = torch.arange(nodes)
        edges = torch.cat([torch.stack([places, places.roll(shift)]) for shift in (1, -1)], 1)
        graphs.append(Data(x=torch.stack([red, 1 - red], 1), edge_index=edges))
        found.append(float((red * red.roll(1) * red.roll(-1)).sum()))
    counts = torch.tensor(found)
    batch = Batch.from_data_list(graphs)
    return batch, counts, counts / batch.ptr.diff()


def explained(pool: gp.Pool, target: int, seed: int, *, dealt: bool = False) -> float:
    """R^2 on the large graphs after training on the small ones."""
    trained, tested = rings(96, TRAINED, seed), rings(96, TESTED, 1000 + seed)
    truth = trained[1 + target]
    if dealt:
        truth = truth[torch.randperm(len(truth), generator=torch.Generator().manual_seed(seed))]
    torch.manual_seed(seed)
    network = gin(2, 1, (12, 12), pool)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 120)
    scale = truth.std()
    for _ in range(120):
        optimiser.zero_grad()
        ((network(trained[0])[:, 0] - truth) / scale).square().mean().backward()
        optimiser.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        wrong = network(tested[0])[:, 0] - tested[1 + target]
    return 1 - float(wrong.square().mean() / tested[1 + target].var())


@pytest.mark.parametrize(("target", "right", "wrong"), [(0, gp.Sum, gp.Mean), (1, gp.Mean, gp.Sum)])
def test_the_readout_that_fits_the_target_grows_with_the_graphs(target: int, right: Any, wrong: Any) -> None:
    fits = [explained(right(), target, seed) for seed in SEEDS]
    fails = [explained(wrong(), target, seed) for seed in SEEDS]
    gain = paired(fits, fails)
    assert min(fits) > 0.9, fits
    assert max(fails) < 0.5, fails
    assert gain.low > 0.3, gain
    assert explained(right(), target, 0, dealt=True) < 0.3
