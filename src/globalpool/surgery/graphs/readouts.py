"""Readouts of torch_geometric brought into one form, ``read_out``: sum, mean, maximum, and softmax-weighted sums."""

import operator
from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

from globalpool.evidence.tails import runs_as
from globalpool.extras import need
from globalpool.pools import Pool

KINDS = {"sum": "sum", "add": "sum", "mean": "mean", "max": "max", "amax": "max"}
#: What ``rewrite_readouts`` knows, for messages.
KNOWN = (
    "Those that can be held are global_add_pool, global_mean_pool, global_max_pool, scatter by sum, mean or max, "
    "Sum-, Mean-, Max-, Softmax-, Attentional-, DeepSets- and MultiAggregation (cat, sum, mean, proj), and the pools "
    "of globalpool."
)


def read_out(kind: str, x: Any, batch: Any = None, ptr: Any = None, size: Any = None, scores: Any = None) -> Tensor:
    """``x (T, C)`` of every graph to ``(N, C)``; with ``scores (T, 1 or C)``, weighted by their softmax and summed."""
    utils = need("torch_geometric.utils", "graphs", "adopt")
    if batch is None and ptr is None:
        batch, size = x.new_zeros(x.shape[0], dtype=torch.long), 1
    if ptr is not None:
        samples = ptr.numel() - 1
        batch = torch.arange(samples, device=x.device).repeat_interleave(ptr.diff(), output_size=x.shape[0])
        size = samples
    if scores is not None:
        kind, x = "sum", utils.softmax(scores, batch, num_nodes=size) * x
    pooled: Tensor = utils.scatter(x, batch, 0, size, reduce=kind)
    return pooled


def rewrite_readouts(module: GraphModule) -> None:
    """Every readout that has a rule becomes ``read_out``; the graph computes what it did."""
    geometric, utils = (need(f"torch_geometric.{name}", "graphs", "adopt") for name in ("nn", "utils"))
    functions = {getattr(geometric, f"global_{kind}_pool"): KINDS[kind] for kind in ("add", "mean", "max")}
    waiting = list(module.graph.nodes)
    while waiting:
        node = waiting.pop()
        with module.graph.inserting_before(node):
            if node.op == "call_function" and node.target in functions:
                given = _given(node.target, node)
                call = (functions[node.target], given["x"], given["batch"], None, given["size"], None)
                new: Node | None = module.graph.call_function(read_out, call)
            elif node.op == "call_function" and node.target is utils.scatter:
                given = _given(utils.scatter, node)
                known = given["dim"] in (0, -2) and given["reduce"] in KINDS
                call = (KINDS.get(given["reduce"], ""), given["src"], given["index"], None, given["dim_size"], None)
                new = module.graph.call_function(read_out, call) if known else None
            elif node.op == "call_module" and isinstance(part := module.get_submodule(node.target), nn.Module):
                new = _aggregation(module.graph, node, part, geometric, waiting)
            else:
                new = None
        if new is not None:
            new.meta = dict(node.meta)
            node.replace_all_uses_with(new)
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()


def _given(function: Callable[..., Any], node: Node) -> dict[str, Any]:
    bound = signature(function).bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    return bound.arguments


def _aggregation(graph: Graph, node: Node, part: nn.Module, geometric: Any, waiting: list[Node]) -> Node | None:
    """The steps of an Aggregation module; its inner aggregations join those ``waiting``."""
    if not isinstance(part, geometric.Aggregation) or type(part).__call__ is not geometric.Aggregation.__call__:
        return None
    for word, name in (("sum", "Sum"), ("mean", "Mean"), ("max", "Max")):
        if runs_as(part, getattr(geometric, f"{name}Aggregation")):
            return _simple(graph, node, part, word)
    if runs_as(part, geometric.SoftmaxAggregation):
        factor = graph.get_attr(f"{node.target}.t") if isinstance(part.t, Tensor) else part.t
        given = _given(part.forward, node)
        return _simple(graph, node, part, "softmax", scores=graph.call_function(operator.mul, (given["x"], factor)))
    if runs_as(part, geometric.AttentionalAggregation):
        scores = _applied(graph, node, part, ("gate_mlp", "gate_nn"))
        features = _applied(graph, node, part, ("mlp", "nn"))
        return _simple(graph, node, part, "softmax", features, scores)
    if runs_as(part, geometric.aggr.DeepSetsAggregation) and None in (part.local_mlp, part.local_nn):
        pooled = _simple(graph, node, part, "sum", _applied(graph, node, part, ("local_mlp", "local_nn")))
        return None if pooled is None else _applied(graph, node, part, ("global_mlp", "global_nn"), pooled)
    if isinstance(getattr(part, "pool", None), Pool):  # ours in an adapter
        given = _given(part.forward, node)
        if given["dim"] in (-2, 0):
            names = {"batch": given["index"], "ptr": given["ptr"], "size": given["dim_size"]}
            names = {name: value for name, value in names.items() if value is not None}
            return graph.call_module(f"{node.target}.pool", (given["x"],), names)
    if runs_as(part, geometric.MultiAggregation) and part.mode in ("cat", "sum", "mean", "proj"):
        return _several(graph, node, part, waiting)
    return None


def _simple(graph: Graph, node: Node, part: Any, kind: str, features: Any = None, scores: Any = None) -> Node | None:
    given = _given(part.forward, node)
    if given["dim"] not in (-2, 0):
        return None
    features = given["x"] if features is None else features
    return graph.call_function(read_out, (kind, features, given["index"], given["ptr"], given["dim_size"], scores))


def _applied(graph: Graph, node: Node, part: Any, names: tuple[str, str], features: Any = None) -> Any:
    """The result of the inner network under one of two names (an MLP of torch_geometric, or any other), if any."""
    given = _given(part.forward, node)
    features = given["x"] if features is None else features
    mlp, other = names
    if getattr(part, mlp) is not None:
        keywords = {"batch": given["index"], "batch_size": given["dim_size"]}
        return graph.call_module(f"{node.target}.{mlp}", (features,), keywords)
    return features if getattr(part, other) is None else graph.call_module(f"{node.target}.{other}", (features,))


def _several(graph: Graph, node: Node, part: Any, waiting: list[Node]) -> Node:
    each = [graph.call_module(f"{node.target}.aggrs.{i}", node.args, node.kwargs) for i in range(len(part.aggrs))]
    for inner in each:
        inner.meta = dict(node.meta)
    waiting += each
    if len(each) == 1:
        return each[0]
    if part.mode in ("cat", "proj"):
        joined = graph.call_function(torch.cat, (each, -1))
        return joined if part.mode == "cat" else graph.call_module(f"{node.target}.lin", (joined,))
    total = each[0]
    for one in each[1:]:
        total = graph.call_function(operator.add, (total, one))
    return total if part.mode == "sum" else graph.call_function(operator.truediv, (total, len(each)))
