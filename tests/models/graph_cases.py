"""Small random graphs as batches of PyTorch Geometric."""

from typing import Any

import torch
from torch_geometric.data import Batch, Data

CHANNELS = 5


def graph(nodes: int, seed: int, channels: int = CHANNELS) -> Any:
    """A connected random graph in float64: a path and some chords, both directions."""
    random = torch.Generator().manual_seed(seed)
    path = torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)]) if nodes > 1 else torch.zeros(2, 0).long()
    chords = torch.randint(0, max(nodes, 1), (2, nodes // 2), generator=random)
    ends = torch.cat([path, chords[:, chords[0] != chords[1]]], 1)
    edges = torch.unique(torch.cat([ends, ends.flip(0)], 1), dim=1)
    x = torch.randn(nodes, channels, generator=random, dtype=torch.float64)
    return Data(x=x, edge_index=edges, num_nodes=nodes)


def batch(sizes: tuple[int, ...] = (6, 1, 9, 4), seed: int = 0) -> Any:
    """Graphs of these sizes; 0 is an empty graph."""
    return Batch.from_data_list([graph(nodes, 10 * seed + place) for place, nodes in enumerate(sizes)])


def settled(classifier: Any) -> Any:
    """In float64 and eval mode, its batch norms with statistics of their own."""
    classifier.double()
    for module in classifier.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            random = torch.Generator().manual_seed(module.num_features)
            module.running_mean = torch.randn(module.num_features, generator=random, dtype=torch.float64)
            module.running_var = torch.rand(module.num_features, generator=random, dtype=torch.float64) + 0.5
    return classifier.eval()
