"""A trunk that pools nodes on its way by PyTorch Geometric's own poolers, and the evidence of the nodes it had."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from globalpool.classifier import PooledClassifier
from globalpool.errors import LayoutError
from globalpool.evidence import Classes, Evidence, account, evaluating
from globalpool.extras import need
from globalpool.layout import Features, Layout, arrange
from globalpool.models.graphs import graph_layout
from globalpool.models.node_poolers import Links, coarsen, is_pooler
from globalpool.pools import Pool
from globalpool.pools.base import Parts


@dataclass(frozen=True, eq=False)
class Levels:
    """``x (T', C)``, ``batch (T',)``, ``size``: the nodes that are read out.

    ``entered (T, C)`` and ``entered_batch``: the nodes before the last poolings, after which no other step comes, and
    ``held``, the weights of these poolings: ``x == up(entered)``. ``before``: those of earlier poolings, through which
    entered nodes came from the graph's own.
    """

    x: Tensor
    batch: Tensor
    size: int
    entered: Tensor
    entered_batch: Tensor
    held: tuple[Links, ...]
    before: tuple[Links, ...]

    def up(self, rows: Tensor) -> Tensor:
        """``(T, ...)`` of entered nodes through the last poolings, ``(T', ...)``."""
        for links in self.held:
            rows = links.up(rows)
        return rows

    def down(self, rows: Tensor) -> Tensor:
        """Weights of the nodes left, ``(T', ...)``, times those of the last poolings: ``(T, ...)``."""
        for links in reversed(self.held):
            rows = links.down(rows)
        return rows

    def spread(self, maps: Tensor) -> Tensor:
        """Evidence of entered nodes ``(T, K')`` on the graph's own nodes ``(T0, K')``, for drawing.

        Sums are kept; a merged node hands out equal shares. Exact where an entered node is one node (selections); which
        of merged nodes gave what, the steps between have mixed.
        """
        for links in reversed(self.before):
            maps = links.shared().down(maps)
        return maps


class Hierarchy(nn.Module):
    """``steps`` in turn: convolutions of PyTorch Geometric, its node poolers, and modules of the features alone.

    Poolers: TopKPooling, SAGPooling, ASAPooling, EdgePooling. A ``Data`` or ``Batch`` goes in; the features are those
    of the nodes that are left, and a classifier's evidence is theirs; ``node_evidence`` takes it back.
    """

    def __init__(self, *steps: nn.Module) -> None:
        super().__init__()
        for step in steps:
            if type(step).__module__.startswith("torch_geometric.nn.pool") and not is_pooler(step):
                hint = "TopKPooling, SAGPooling, ASAPooling and EdgePooling can."
                raise LayoutError("Hierarchy", "poolers whose weights can be held", type(step).__name__, hint)
        self.steps = nn.ModuleList(steps)

    def forward(self, data: Any) -> Features:
        """Features ``(T', C)`` of the nodes that are left."""
        found = self.levels(data)
        return Features(found.x, {"batch": found.batch, "size": found.size})

    def levels(self, data: Any) -> Levels:
        """The nodes that are read out, and how they are made of those before."""
        passing: type = need("torch_geometric.nn", "graphs", "Hierarchy").MessagePassing
        layout, x, edges = graph_layout(data), data.x, data.edge_index
        batch = layout["batch"]
        assert batch is not None
        before: list[Links] = []
        held: list[Links] = []
        entered, entered_batch = x, batch
        for step in self.steps:
            if is_pooler(step):
                found = coarsen(step, x, edges, batch)
                x, edges, batch = found.x, found.edge_index, found.batch
                held.append(found.links)
                continue
            x = step(x, edges) if isinstance(step, passing) else step(x)
            before, held = before + held, []
            entered, entered_batch = x, batch
        size = layout["size"]
        assert size is not None
        return Levels(x, batch, size, entered, entered_batch, tuple(held), tuple(before))


def node_evidence(classifier: PooledClassifier, data: Any, classes: Classes = "top1") -> Evidence:
    """What each node that entered the last poolings of a ``Hierarchy`` gave each chosen logit, in eval mode.

    Node weights multiply: ``E[k, p] = sum over c, j of W[k, c] a[j, c] M[j, p] x[p, c]``, j being the nodes read out
    and a the weights of the pool, M those of the poolings. ``maps (T, K')``; ``trunk.levels(data).spread(maps)`` lays
    them on the graph's own nodes where poolings came before. The scores by which nodes were chosen are held.
    """
    trunk = classifier.trunk
    if not isinstance(trunk, Hierarchy):
        hint = "Others have one level of nodes: classifier.evidence(data)."
        raise LayoutError("node_evidence", "a classifier whose trunk is a Hierarchy", type(trunk).__name__, hint)
    with evaluating(classifier):
        found = trunk.levels(data)
        pool = _Above(classifier.pool, found)
        return account(pool, classifier.tail, found.entered, classes, batch=found.entered_batch, size=found.size)


class _Above(Pool):
    """A pool over the nodes that held weights make of the positions: one batch's, in eval mode."""

    affine = False

    def __init__(self, pool: Pool, found: Levels) -> None:
        super().__init__(empty=pool.empty)
        self.pool, self.found, self.regions = pool, found, pool.regions

    @property
    def weights_are_gradient(self) -> bool:
        return False

    def value_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return self.pool.value_dtype(dtype)

    def parts(self, features: Tensor, layout: Layout) -> Parts:
        above = self.found.up(features.to(layout.dtype))
        rows, place = arrange(self.pool.name, above, batch=self.found.batch, size=self.found.size)
        parts = self.pool.parts(rows, place)
        return Parts(self.found.down(parts.weights), parts.remainder, self.pool.pooled(rows, place, parts))
