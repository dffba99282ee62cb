"""Where a network pools: walked back from the logits through what is linear once held, to the last pooling."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from torch.fx import GraphModule, Node

from globalpool.errors import AdoptionError
from globalpool.surgery.narrow import is_selection, narrow_selection
from globalpool.surgery.nodes import Shapes, args_of, argument, dependent, name_of, order, where
from globalpool.surgery.reductions import Reduction, recognise, recognise_flat
from globalpool.surgery.tail_inputs import CONVOLUTIONS, POOLS, linear_inputs

#: Windows by which trunks shrink their maps are no larger.
LARGEST_WINDOW = 3

Rule = Callable[[Node, Shapes, set[Node]], Reduction | None]


@dataclass(frozen=True, eq=False)
class Found:
    """``pools`` over one features node, and the nodes ``tail`` that are linear on the way from them to the logits.

    ``also`` names poolings of other features that the logits use too: their part is in the offset.
    """

    pools: tuple[Reduction, ...]
    tail: frozenset[Node]
    also: tuple[str, ...]


def output_of(module: GraphModule) -> Node:
    """The node whose value is returned."""
    (end,) = (node for node in module.graph.nodes if node.op == "output")
    found = end.args[0]
    assert isinstance(found, Node)
    return found


def find(module: GraphModule, shapes: Shapes, stuck: set[str]) -> Found | Node:
    """The pooling, or a selection of tokens on the way that should be narrowed first (unless its name is ``stuck``)."""
    obstacles: list[Node] = []
    single: list[Node] = []
    for rule in (recognise, recognise_flat):
        result = _walk(module, shapes, stuck, rule, obstacles, single)
        if isinstance(result, Found) and single and any(_downsamples(pool) for pool in result.pools):
            break
        if result is not None:
            return result
    if single:
        raise AdoptionError(
            "adopt",
            "a last feature map of two positions or more",
            f"a single one before {where(single[0])}",
            "Give a larger example: at this size the network has nothing left to pool.",
        )
    met = ", then ".join(dict.fromkeys(where(node) for node in obstacles[:3])) or "nothing that depends on the input"
    raise AdoptionError(
        "adopt",
        "pooling over positions, then a tail of linear layers, norms, activations and reshaping",
        f"going back from the logits: {met}",
        "This operation has no rule as a pool or as part of a tail.",
    )


def _walk(
    module: GraphModule, shapes: Shapes, stuck: set[str], rule: Rule, obstacles: list[Node], single: list[Node]
) -> Found | Node | None:
    """The walk by one rule; notes what it cannot follow, and poolings of maps that have a single position."""
    depends, when = dependent(module.graph), order(module.graph)
    inputs: dict[Node, list[Node]] = {}
    pools: list[Reduction] = []
    also: list[str] = []
    start = output_of(module)
    waiting, seen = [(-when[start], start.name, start)], {start}
    while waiting:
        _, _, node = heapq.heappop(waiting)
        before = bool(pools) and when[node] <= when[pools[0].features]  # computed before the features: not through them
        pool = rule(node, shapes, depends)
        if pool is not None:
            if pools and pool.features is not pools[0].features:
                also.append(where(node))
                continue
            pools.append(pool)
            if pool.kind == "every":
                inputs[node] = [pool.features]  # the operation that lays the map flat belongs to the tail
            continue
        if is_selection(node, shapes) and node.name not in stuck and not before:
            return node
        sources = linear_inputs(node, depends) if node.op == "call_function" else None
        if sources is None or (name_of(node) in CONVOLUTIONS and not _is_matrix(node, shapes)):
            obstacles.append(node)
            continue
        if name_of(node) in POOLS and sources and prod(shapes[sources[0]][2:]) == 1:
            single.append(node)
        inputs[node] = sources
        for source in sources:
            if source not in seen:
                seen.add(source)
                heapq.heappush(waiting, (-when[source], source.name, source))
    if not pools:
        return None
    return Found(tuple(pools), frozenset(_reached(pools, inputs, when)), tuple(also))


def _downsamples(pool: Reduction) -> bool:
    """Whether it may be one of the trunk's own small windows, as large as the map only because the map is small.

    Or the flat rule's map of bins, each the same single position.
    """
    name = name_of(pool.node)
    window = argument(pool.node, 1, "kernel_size", 0) if name.startswith(("avg_pool", "max_pool")) else 0
    sides = [window] if isinstance(window, int) else window
    return pool.kind == "every" or 0 < max(side for side in sides if isinstance(side, int)) <= LARGEST_WINDOW


def _is_matrix(node: Node, shapes: Shapes) -> bool:
    """Whether a convolution is a matrix: as large as its map, or 1 wide."""
    source, weight = (shapes[arg] for arg in args_of(node)[:2])
    return tuple(weight[2:]) in (tuple(source[2:]), (1,) * (len(weight) - 2))


def _reached(pools: list[Reduction], inputs: dict[Node, list[Node]], when: dict[Node, int]) -> set[Node]:
    """The nodes of the walk that a pooled vector reaches through linear inputs."""
    reached = {pool.node for pool in pools}
    for node in sorted(inputs, key=lambda node: when[node]):
        if any(source in reached for source in inputs[node]):
            reached.add(node)
    return reached - {pool.node for pool in pools}


def narrow_until_found(module: GraphModule, look: Callable[[], Shapes]) -> tuple[Found, Shapes]:
    """``find``, moving selections of tokens up the graph in between; ``look()`` gives fresh shapes."""
    stuck: set[str] = set()
    for _ in range(40):
        shapes = look()
        result = find(module, shapes, stuck)
        if isinstance(result, Found):
            return result, shapes
        stuck |= narrow_selection(module.graph, result, shapes, dependent(module.graph))
        module.recompile()
    raise AdoptionError("adopt", "a selection of tokens that can be followed", f"{len(stuck)} that cannot")
