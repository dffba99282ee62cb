"""Small trunks over graphs, made of PyTorch Geometric's layers: node features and the graph each node is of."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.errors import LayoutError
from globalpool.extras import need
from globalpool.layout import Features, LayoutArguments
from globalpool.pools import Mean, Pool


def graph_layout(data: Any) -> LayoutArguments:
    """Where the nodes of a ``Data`` or ``Batch`` of PyTorch Geometric are; graphs without nodes count."""
    if getattr(data, "x", None) is None:
        hint = "Where nodes have no features, give them their degree: globalpool.data.Graphs(nodes='degrees')."
        raise LayoutError("GraphTrunk", "graphs whose nodes have features, data.x (T, C)", "none", hint)
    batch = getattr(data, "batch", None)
    if batch is None:
        return {"batch": torch.zeros(len(data.x), dtype=torch.long, device=data.x.device), "size": 1}
    return {"batch": batch, "size": int(data.num_graphs)}


class GraphTrunk(nn.Module):
    """``layers`` (convolution, norm, activation) in turn; features ``(T, C)`` are all layers' outputs side by side.

    A ``Data`` or ``Batch`` goes in, ``Features`` come out, so that nodes are explained at every radius at once (jumping
    knowledge; a readout of the layers one by one is the same as one of them side by side: Xu et al., GIN (2019), 4.2).
    """

    def __init__(self, convolutions: Sequence[nn.Module], widths: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(convolutions)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.dropout = nn.Dropout(dropout)

    def forward(self, data: Any) -> Features:
        """Features ``(T, sum of widths)`` with ``batch`` and ``size``."""
        layout, x = graph_layout(data), data.x
        found: list[Tensor] = []
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.dropout(torch.relu(norm(convolution(x, data.edge_index))))
            found.append(x)
        return Features(torch.cat(found, 1), layout)


def gin(
    in_channels: int,
    num_classes: int = 2,
    widths: Sequence[int] = (32, 32, 32),
    pool: Pool | None = None,
    labels: Sequence[str] | None = None,
    dropout: float = 0.0,
) -> PooledClassifier:
    """Graph isomorphism network: ``MLP(x_i + sum of neighbours)`` a layer; ``pool`` None is Mean.

    Xu, Hu, Leskovec, Jegelka (2019), GIN-0. A layer a width; called with a ``Batch`` of PyTorch Geometric.
    """
    convolution = need("torch_geometric.nn", "graphs", "gin").GINConv
    made, channels = [], in_channels
    for width in widths:
        inner = nn.Sequential(nn.Linear(channels, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))
        made.append(convolution(inner))
        channels = width
    return _classifier(GraphTrunk(made, widths, dropout), sum(widths), num_classes, pool, labels)


def gcn(
    in_channels: int,
    num_classes: int = 2,
    widths: Sequence[int] = (32, 32, 32),
    pool: Pool | None = None,
    labels: Sequence[str] | None = None,
    dropout: float = 0.0,
) -> PooledClassifier:
    """Graph convolutional network: a mean over neighbours by the degrees of both ends; as ``gin`` otherwise.

    Kipf, Welling (2017).
    """
    convolution = need("torch_geometric.nn", "graphs", "gcn").GCNConv
    steps = zip((in_channels, *widths[:-1]), widths, strict=True)
    made = [convolution(channels, width) for channels, width in steps]
    return _classifier(GraphTrunk(made, widths, dropout), sum(widths), num_classes, pool, labels)


def _classifier(
    trunk: GraphTrunk, channels: int, num_classes: int, pool: Pool | None, labels: Sequence[str] | None
) -> PooledClassifier:
    pool = Mean() if pool is None else pool
    return PooledClassifier(trunk, pool, nn.Linear(pool.out_features(channels), num_classes), labels=labels)
