"""One training loop for every graph network of the comparisons, and the choices that validation makes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_geometric.data import Batch

import globalpool as gp

Right = NDArray[np.float64]
#: Called with network and batch: what a pool adds to the loss.
Extra = Callable[[Any, Any], Tensor]


@dataclass(frozen=True, eq=False)
class Trial:
    """The epoch with the least validation NLL: that NLL, accuracy there, and whether each test graph is right."""

    nll: float
    validation: float
    right: Right


@dataclass(frozen=True, eq=False)
class Parts:
    """Graphs as batches with ``y``: training in pieces of like size, validation and test in one each."""

    training: tuple[Any, ...]
    validation: Any
    test: Any

    @classmethod
    def of(
        cls, graphs: Sequence[Any], rows: Sequence[int], validation: Sequence[int], test: Sequence[int],
        size: int, seed: int,
    ) -> "Parts":  # fmt: skip
        """Pieces of about ``size`` graphs drawn once by ``seed``."""
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        pieces = order.tensor_split(max(round(len(rows) / size), 1))
        made = tuple(Batch.from_data_list([graphs[rows[i]] for i in piece.tolist()]) for piece in pieces)
        held = (Batch.from_data_list([graphs[i] for i in part]) for part in (validation, test))
        return cls(made, *held)


def fit(network: nn.Module, parts: Parts, epochs: int, rate: float, seed: int, extra: Extra | None = None) -> Trial:
    """AdamW with cosine; judged after every epoch, the epoch chosen by the NLL on the validation part alone."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * len(parts.training))
    random = torch.Generator().manual_seed(seed)
    best: Trial | None = None
    for _ in range(epochs):
        network.train()
        for piece in torch.randperm(len(parts.training), generator=random).tolist():
            batch = parts.training[piece]
            optimiser.zero_grad()
            loss = cross_entropy(network(batch), batch.y)
            if extra is not None:
                loss = loss + extra(network, batch)
            loss.backward()
            optimiser.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            logits = network(parts.validation)
            nll = float(cross_entropy(logits, parts.validation.y))
            if best is None or nll < best.nll:
                own = float((logits.argmax(1) == parts.validation.y).double().mean())
                best = Trial(nll, own, (network(parts.test).argmax(1) == parts.test.y).double().numpy())
    assert best is not None
    return best


def cut_losses(weight: float) -> Extra:
    """MinCut's two losses of the shares of ``LearnedClusters``, over graphs."""

    def extra(network: Any, batch: Any) -> Tensor:
        found = network.located(batch)
        shares = network.pool.shares(found.values, **found.layout)
        losses = gp.mincut_losses(shares, batch.edge_index, batch.batch, batch.num_graphs)
        return weight * (losses.cut + losses.orthogonality).mean()

    return extra


class WithClusters(nn.Module):
    """A classifier over ``Clusters`` whose numbers come with the batch, in ``batch.cluster``."""

    def __init__(self, classifier: gp.PooledClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, batch: Any) -> Tensor:
        """Logits ``(N, K)``."""
        logits: Tensor = self.classifier(batch, assignment=batch.cluster)
        return logits


def bootstrap(values: Right, draws: int = 10_000, seed: int = 0) -> tuple[float, float, float]:
    """Mean of one number a graph, and its 95 % percentile interval over drawn graphs; differences come paired."""
    random = np.random.default_rng(seed)
    means = values[random.integers(0, len(values), (draws, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
