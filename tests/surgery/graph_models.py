"""Small networks over graphs, each with its evidence worked out by hand: loops over graphs, autograd over the tail.

``slow()`` of a model gives what every node adds to the pooled vector, ``(T, F)``, and the tail as a function of it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Batch, Data
from torch_geometric.nn import (
    MLP,
    AttentionalAggregation,
    GATConv,
    GCNConv,
    GINConv,
    MultiAggregation,
    SAGEConv,
    Sequential,
    SoftmaxAggregation,
    TopKPooling,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)
from torch_geometric.nn.aggr import DeepSetsAggregation
from torch_geometric.nn.models import GIN, GraphSAGE
from torch_geometric.utils import scatter

import globalpool as gp

WIDTH, CLASSES, CHANNELS = 6, 4, 5
Slow = tuple[Tensor, Callable[[Tensor], Tensor]]


def graphs(sizes: tuple[int, ...] = (4, 1, 7, 3), seed: int = 0) -> Any:
    """A batch of random graphs with node features, edge features, edge weights and a vector a graph."""
    g = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    many = []
    for n in sizes:
        edges = torch.randint(0, n, (2, 2 * n + 1), generator=g)
        weight = numbers(2 * n + 1).abs()
        about = {"edge_attr": numbers(2 * n + 1, 3), "edge_weight": weight, "u": numbers(1, 2)}
        many.append(Data(x=numbers(n, CHANNELS), edge_index=edges, **about))
    return Batch.from_data_list(many)


def shares(x: Tensor, batch: Tensor, kind: str, scores: Tensor | None = None) -> Tensor:
    """What every node adds to the pooled vector of its graph: one graph, one channel, one node after the other."""
    out = torch.zeros_like(x)
    for graph in batch.unique().tolist():
        rows = [row for row in range(len(x)) if int(batch[row]) == graph]
        for channel in range(x.shape[1]):
            column = x[rows, channel]
            if kind == "mean":
                weights = torch.full_like(column, 1 / len(rows))
            elif kind == "sum":
                weights = torch.ones_like(column)
            elif kind == "max":
                weights = (column == column.max()).to(x.dtype)
                weights = weights / weights.sum()
            else:
                assert scores is not None
                powers = scores[rows, min(channel, scores.shape[1] - 1)].exp()
                weights = powers / powers.sum()
            out[rows, channel] = weights * column
    return out


def brute(own: Tensor, batch: Tensor, tail: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """``maps (T, K)`` and ``offset (N, K)`` from each graph's Jacobian of the tail, which is piecewise affine."""
    count = int(batch.max()) + 1
    vectors = torch.stack([own[batch == graph].sum(0) for graph in range(count)])
    maps, offsets = own.new_zeros(len(own), CLASSES), []
    for graph in range(count):

        def single(vector: Tensor, graph: int = graph) -> Tensor:
            return tail(torch.cat([vectors[:graph], vector[None], vectors[graph + 1 :]]))[graph]

        jacobian = torch.autograd.functional.jacobian(single, vectors[graph])
        offsets.append(single(vectors[graph]) - jacobian @ vectors[graph])
        for row in range(len(own)):
            if int(batch[row]) == graph:
                maps[row] = jacobian @ own[row]
    return maps, torch.stack(offsets)


class Model(nn.Module):
    """Called as ``model(x, edge_index, batch)``."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = SAGEConv(CHANNELS, WIDTH), SAGEConv(WIDTH, WIDTH)
        self.act = nn.ReLU()
        self.out = nn.Linear(self.width(), CLASSES)

    def width(self) -> int:
        return WIDTH

    def nodes(self, x: Tensor, edge_index: Tensor) -> list[Tensor]:
        first = self.act(self.one(x, edge_index))
        return [first, self.act(self.two(first, edge_index))]

    def slow(self, b: Any) -> Slow:
        raise NotImplementedError

    def arguments(self, b: Any) -> tuple[Any, ...]:
        return b.x, b.edge_index, b.batch


class Mean(Model):
    def __init__(self) -> None:
        super().__init__()
        self.gcn = GCNConv(CHANNELS, WIDTH)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, edge_weight: Tensor | None = None) -> Any:
        x = self.gcn(x, edge_index, edge_weight)
        x = global_mean_pool(x, batch)
        return self.out(functional.dropout(x, 0.5, training=self.training))

    def slow(self, b: Any) -> Slow:
        return shares(self.gcn(b.x, b.edge_index), b.batch, "mean"), self.out


class LayersMLP(Model):
    """GIN with a readout of every layer, and a hidden layer with BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.a = GINConv(nn.Sequential(nn.Linear(CHANNELS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)))
        self.b = GINConv(MLP([WIDTH, WIDTH, 3], norm="batch_norm"))
        self.head = nn.Sequential(
            nn.Linear(WIDTH + 3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, CLASSES)
        )

    def layers(self, x: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        first = self.a(x, edge_index)
        return first, self.b(first, edge_index)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        first, second = self.layers(x, edge_index)
        pooled = [global_add_pool(first, batch), global_add_pool(second, batch)]
        return self.head(torch.cat(pooled, dim=1))

    def slow(self, b: Any) -> Slow:
        return torch.cat([shares(x, b.batch, "sum") for x in self.layers(b.x, b.edge_index)], 1), self.head


class MeanMax(Model):
    def width(self) -> int:
        return 2 * WIDTH

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        x = self.nodes(x, edge_index)[1]
        return self.out(torch.cat([global_mean_pool(x, batch), global_max_pool(x, batch)], 1))

    def slow(self, b: Any) -> Slow:
        x = self.nodes(b.x, b.edge_index)[1]
        return torch.cat([shares(x, b.batch, "mean"), shares(x, b.batch, "max")], 1), self.out


class FromData(Model):
    """GAT with edge features, called with the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.gat = GATConv(CHANNELS, 3, heads=2, edge_dim=3)

    def forward(self, data: Any) -> Any:
        x, edge_index, batch = data.x, data.edge_index, data.batch
        x = functional.elu(self.gat(x, edge_index, edge_attr=data.edge_attr))
        return self.out(global_add_pool(x, batch))

    def slow(self, b: Any) -> Slow:
        return shares(functional.elu(self.gat(b.x, b.edge_index, b.edge_attr)), b.batch, "sum"), self.out

    def arguments(self, b: Any) -> tuple[Any, ...]:
        return (b,)


class Attention(Model):
    """AttentionalAggregation, and log-probabilities as most tutorials return them."""

    def __init__(self, gates: int = 1) -> None:
        super().__init__()
        self.read = AttentionalAggregation(MLP([WIDTH, 4, gates], norm=None), nn.Linear(WIDTH, WIDTH))

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        x = self.read(self.nodes(x, edge_index)[1], batch)
        return functional.log_softmax(self.out(x), dim=-1)

    def slow(self, b: Any) -> Slow:
        x = self.nodes(b.x, b.edge_index)[1]
        read: Any = self.read
        own = shares(read.nn(x), b.batch, "softmax", read.gate_mlp(x))
        vectors = torch.stack([own[b.batch == graph].sum(0) for graph in range(int(b.batch.max()) + 1)])
        normaliser = self.out(vectors).exp().sum(1, keepdim=True).log().detach()
        return own, lambda v: self.out(v) - normaliser


class Hierarchy(Model):
    """TopKPooling between two convolutions: the nodes that are left are read out."""

    def __init__(self) -> None:
        super().__init__()
        self.select = TopKPooling(WIDTH, ratio=0.6)

    def kept(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        x = self.act(self.one(x, edge_index))
        x, edge_index, _, batch, _, _ = self.select(x, edge_index, None, batch)
        return self.act(self.two(x, edge_index)), batch

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        x, batch = self.kept(x, edge_index, batch)
        return self.out(global_mean_pool(x, batch))

    def slow(self, b: Any) -> Slow:
        x, batch = self.kept(b.x, b.edge_index, b.batch)
        return shares(x, batch, "mean"), self.out


class Basic(Model):
    """Networks of torch_geometric as trunk, its MLP as tail, and a size that keeps empty graphs."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.gnn = kind(CHANNELS, WIDTH, num_layers=2, out_channels=WIDTH, norm="batch_norm", jk="cat", dropout=0.3)
        self.head = MLP([WIDTH, 8, CLASSES], dropout=0.5, act="leaky_relu")

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, batch_size: int) -> Any:
        return self.head(global_add_pool(self.gnn(x, edge_index), batch, size=batch_size))

    def slow(self, b: Any) -> Slow:
        return shares(self.gnn(b.x, b.edge_index), b.batch, "sum"), self.head

    def arguments(self, b: Any) -> tuple[Any, ...]:
        return b.x, b.edge_index, b.batch, b.num_graphs


class Softmax(Model):
    def __init__(self) -> None:
        super().__init__()
        self.read = SoftmaxAggregation(learn=True, channels=WIDTH)
        with torch.no_grad():
            self.read.t.copy_(torch.rand(WIDTH) + 0.5)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        return self.out(self.read(self.nodes(x, edge_index)[1], batch))

    def slow(self, b: Any) -> Slow:
        x = self.nodes(b.x, b.edge_index)[1]
        return shares(x, b.batch, "softmax", x * self.read.t), self.out


class Multi(Model):
    def __init__(self, mode: str = "cat") -> None:
        super().__init__()
        self.mode = mode
        self.out = nn.Linear(3 * WIDTH if mode == "cat" else WIDTH, CLASSES)
        self.read = MultiAggregation(["mean", "max", SoftmaxAggregation(2.0)], mode=mode)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        return self.out(self.read(self.nodes(x, edge_index)[1], batch))

    def slow(self, b: Any) -> Slow:
        x = self.nodes(b.x, b.edge_index)[1]
        own = [shares(x, b.batch, kind, 2 * x) for kind in ("mean", "max", "softmax")]
        return (torch.cat(own, 1) if self.mode == "cat" else sum(own) / 3), self.out  # type: ignore[return-value]


class Written(Model):
    """A readout written out, a learned number a node beside it, and PReLU in the tail."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.prelu = nn.Linear(WIDTH, 1), nn.PReLU()

    def weighed(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.nodes(x, edge_index)[1]
        return torch.sigmoid(self.gate(x)) * x

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        return self.out(self.prelu(scatter(self.weighed(x, edge_index), batch, dim=0, reduce="sum") - 1))

    def slow(self, b: Any) -> Slow:
        return shares(self.weighed(b.x, b.edge_index), b.batch, "sum"), lambda v: self.out(self.prelu(v - 1))


class OwnPool(Model):
    """A pool of globalpool as the readout."""

    def __init__(self) -> None:
        super().__init__()
        self.read = gp.Concat(gp.Mean(), gp.Max())
        self.out = nn.Linear(2 * WIDTH, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        return self.out(self.read(self.nodes(x, edge_index)[1], batch=batch))

    slow = MeanMax.slow


class Mixed(Model):
    """Layers read out in different ways and added: a mean, a maximum and an attention per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.read = AttentionalAggregation(nn.Linear(WIDTH, WIDTH))

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        first, second = self.nodes(x, edge_index)
        return self.out(global_mean_pool(first, batch) + global_max_pool(second, batch) + self.read(second, batch))

    def slow(self, b: Any) -> Slow:
        first, second = self.nodes(b.x, b.edge_index)
        read: Any = self.read
        own = shares(first, b.batch, "mean") + shares(second, b.batch, "max")
        return own + shares(second, b.batch, "softmax", read.gate_nn(second)), self.out


class BesideGraph(Model):
    """A vector a graph joins the pooled one: its part is in the offset."""

    def width(self) -> int:
        return WIDTH + 2

    def forward(self, data: Any) -> Any:
        x = global_mean_pool(self.nodes(data.x, data.edge_index)[1], data.batch)
        return self.out(torch.cat([x, data.u], dim=-1))

    def slow(self, b: Any) -> Slow:
        x = self.nodes(b.x, b.edge_index)[1]
        return shares(x, b.batch, "mean"), lambda v: self.out(torch.cat([v, b.u], 1))

    def arguments(self, b: Any) -> tuple[Any, ...]:
        return (b,)


class DeepSets(Model):
    def __init__(self) -> None:
        super().__init__()
        self.read = DeepSetsAggregation(MLP([WIDTH, 5, 5], norm=None), nn.Sequential(nn.ReLU(), nn.Linear(5, CLASSES)))

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        return self.read(self.nodes(x, edge_index)[1], batch)

    def slow(self, b: Any) -> Slow:
        read: Any = self.read
        return shares(read.local_mlp(self.nodes(b.x, b.edge_index)[1]), b.batch, "sum"), read.global_nn


class VirtualNode(Model):
    """A vector a graph goes back to the nodes before the last convolution: all of that is trunk."""

    def last(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        x = self.act(self.one(x, edge_index))
        return self.two(x + global_mean_pool(x, batch)[batch], edge_index)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        return self.out(global_mean_pool(self.last(x, edge_index, batch), batch))

    def slow(self, b: Any) -> Slow:
        return shares(self.last(b.x, b.edge_index, b.batch), b.batch, "mean"), self.out


class NodeScores(Model):
    """Each node is scored and the scores are added: there is no tail."""

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        return global_add_pool(self.out(self.nodes(x, edge_index)[1]), batch)

    def slow(self, b: Any) -> Slow:
        return shares(self.out(self.nodes(b.x, b.edge_index)[1]), b.batch, "sum"), lambda v: v


class Stubborn(Model):
    """A convolution block that looks at sizes: it cannot be traced through and runs as it is."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = SAGEConv(CHANNELS, WIDTH)

        def forward(self, x: Tensor, edge_index: Tensor) -> Any:
            x = self.conv(x, edge_index)
            return x.relu() if len(x) % 2 else x.tanh()

    def __init__(self) -> None:
        super().__init__()
        self.block = self.Block()

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Any:
        if batch is None:
            batch = torch.zeros(x.size(0), dtype=torch.long, device=x.device)
        return self.out(global_mean_pool(self.block(x, edge_index), batch))

    def slow(self, b: Any) -> Slow:
        return shares(self.block(b.x, b.edge_index), b.batch, "mean"), self.out


def listed() -> Any:
    """torch_geometric's own way to write a network as a list."""
    steps = [
        (SAGEConv(CHANNELS, WIDTH), "x, edge_index -> x"),
        (nn.ReLU(inplace=True), "x -> x"),
        (global_mean_pool, "x, batch -> x"),
        nn.Linear(WIDTH, CLASSES),
    ]
    return Sequential("x, edge_index, batch", steps)


#: name: (maker, kind, pool)
MODELS: dict[str, tuple[Callable[[], Model], str, str]] = {
    "GCN, mean, linear": (Mean, "linear", "Mean"),
    "GIN, every layer added, MLP": (LayersMLP, "gated", "Sum"),
    "SAGE, mean and maximum": (MeanMax, "weighted", "Concat"),
    "GAT with edge features, data": (FromData, "linear", "Sum"),
    "attention, log-probabilities": (Attention, "gated", "Scored"),
    "attention per channel": (lambda: Attention(WIDTH), "gated", "Scored"),
    "top-k hierarchy": (Hierarchy, "linear", "Mean"),
    "GIN of torch_geometric": (lambda: Basic(GIN), "gated", "Sum"),
    "GraphSAGE of torch_geometric": (lambda: Basic(GraphSAGE), "gated", "Sum"),
    "learned softmax": (Softmax, "weighted", "Scored"),
    "several, joined": (Multi, "weighted", "Concat"),
    "several, averaged": (lambda: Multi("mean"), "weighted", "Concat"),
    "written out": (Written, "gated", "Sum"),
    "globalpool's own": (OwnPool, "weighted", "Concat"),
    "layers in different ways": (Mixed, "weighted", "Concat"),
    "a vector a graph beside": (BesideGraph, "gated", "Mean"),
    "deep sets": (DeepSets, "gated", "Sum"),
    "virtual node": (VirtualNode, "linear", "Mean"),
    "node scores": (NodeScores, "linear", "Sum"),
    "a block with control flow": (Stubborn, "linear", "Mean"),
}


def build(make: Callable[[], nn.Module]) -> nn.Module:
    """In eval mode and float64, norms with statistics of their own."""
    torch.manual_seed(0)
    model = make().double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model


class End(Model):
    """What comes after two convolutions is given."""

    def __init__(self, end: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.end = end
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Any:
        return self.end(self, self.nodes(x, edge_index)[1], edge_index, batch)


def end(function: Callable[..., Any], **parts: nn.Module) -> Any:
    return build(lambda: End(function, **parts))
