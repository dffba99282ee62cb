"""Evidence of an adopted classifier the slow way: one picture, float64, every position sent through the tail's graph.

Each operation is applied by torch itself to the parts, with its constants left out and its gates held; nothing of
``globalpool.evidence`` is used.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.nn import functional

import globalpool as gp
from globalpool.surgery.nodes import name_of


def shares(pool: gp.Pool, features: Tensor) -> Tensor:
    """Weights ``(R, C or 1, P)`` of a pool on one picture's features ``(1, C, *S)``, from torch's own pooling."""
    spatial = features.shape[2:]
    count = spatial.numel()
    if isinstance(pool, gp.Mean):
        return torch.full((1, 1, count), 1 / count, dtype=torch.float64)
    if isinstance(pool, gp.Sum):
        return torch.ones(1, 1, count, dtype=torch.float64)
    if isinstance(pool, gp.Max):
        flat = features[0].flatten(1)
        hits = (flat == flat.amax(1, keepdim=True)).double()
        return (hits / hits.sum(1, keepdim=True))[None]
    if isinstance(pool, gp.Grid):
        single = torch.eye(count, dtype=torch.float64).reshape(count, 1, *spatial)
        adaptive: list[Any] = [
            functional.adaptive_avg_pool1d,
            functional.adaptive_avg_pool2d,
            functional.adaptive_avg_pool3d,
        ]
        bins = adaptive[len(spatial) - 1](single, pool.bins if len(spatial) > 1 else pool.bins[0])
        return torch.as_tensor(bins).flatten(1).T.unsqueeze(1)
    joined: Any = pool
    wide = [shares(part, features).expand(-1, features.shape[1], -1) for part in joined.pools]
    return torch.cat(wide)


def slow_evidence(classifier: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """``(maps (K, P), offset (K,))`` of one picture ``x (1, ...)``."""
    features, *others = classifier.trunk(x)
    if type(classifier.pool).__name__ == "Carried":
        weights, remainder, _, *sides = others
        weight, rest = weights[0].double().flatten(2), remainder[0].double().flatten()
    else:
        weight, sides = shares(classifier.pool, features.double()), others
        rest = torch.zeros(weight.shape[0] * features.shape[1], dtype=torch.float64)
    parts = (weight * features[0].double().flatten(1)[None]).permute(2, 0, 1).flatten(1)  # (P, R * C)
    tail = deepcopy(classifier.tail).double()
    if isinstance(tail, nn.Linear):
        offset = rest @ tail.weight.T + (0 if tail.bias is None else tail.bias)
        return tail.weight @ parts.T, offset
    sides = [side.double() if isinstance(side, Tensor) and side.is_floating_point() else side for side in sides]
    maps = _run(tail, (parts.sum(0) + rest)[None], parts, sides, constants=False)
    offset = _run(tail, (parts.sum(0) + rest)[None], rest[None], sides, constants=True)
    return maps.T, offset[0]


def _run(tail: Any, vector: Tensor, parts: Tensor, sides: list[Any], constants: bool) -> Tensor:
    """The parts ``(M, F)`` through the graph held at ``vector (1, F)``."""
    value: dict[Node, Any] = {}
    first, end = next(iter(tail.graph.graph.nodes)), None
    given = iter([vector, *sides])
    for node in tail.graph.graph.nodes:
        if node.op == "placeholder":
            value[node] = next(given)
        elif node.op == "get_attr":
            value[node] = tail.graph.get_parameter(node.target) if _is_parameter(tail, node) else _deep(tail, node)
        elif node.op == "output":
            end = node.args[0]
        else:
            arguments = torch.fx.node.map_arg((node.args, node.kwargs), lambda n: value[n])
            value[node] = node.target(*arguments[0], **arguments[1])
    found: Tensor = _Parts(value, first, parts, constants)[end]
    return found


class _Parts(dict[Any, Any]):
    """The parts at every node they reach, worked out when asked for."""

    def __init__(self, value: dict[Node, Any], first: Node, parts: Tensor, constants: bool) -> None:
        super().__init__({first: parts})
        self.value, self.constants, self.reached = value, constants, {first}
        for node in value:
            if any(source in self.reached for source in node.all_input_nodes):
                self.reached.add(node)

    def __contains__(self, node: object) -> bool:
        return node in self.reached

    def __missing__(self, node: Any) -> Any:
        self[node] = _one(node, self.value, self, self.constants)
        return self[node]


def _is_parameter(tail: Any, node: Node) -> bool:
    return str(node.target) in dict(tail.graph.named_parameters())


def _deep(tail: Any, node: Node) -> Any:
    found = tail.graph
    for name in str(node.target).split("."):
        found = getattr(found, name)
    return found


def _one(node: Any, value: dict[Node, Any], part: Any, constants: bool) -> Any:
    name = name_of(node)
    inputs = node.all_input_nodes
    first: Any = node.args[0] if node.args else None

    def at(arg: Any) -> Any:
        """Parts where there are parts, zero (or itself, for the offset) where there are none."""
        if isinstance(arg, Node) and arg in part:
            return part[arg]
        fixed = value[arg] if isinstance(arg, Node) else arg
        if constants:
            return fixed
        return torch.zeros_like(fixed) if isinstance(fixed, Tensor) else 0

    def plain(arg: Any) -> Any:
        return torch.fx.node.map_arg(arg, lambda n: part[n] if n in part else value[n])

    if name == "sym_size":
        return node.target(part[first], *node.args[1:]) if first in part else value[node]
    if name in ("add", "sub"):
        return node.target(at(first), at(node.args[1]), **node.kwargs)
    if name in ("cat", "stack"):
        rows = max(part[n].shape[0] for n in inputs if n in part)
        entries = [at(entry) for entry in first]
        return node.target([e.expand(rows, *e.shape[1:]) for e in entries], *node.args[1:])
    if name == "linear":
        bias = value[node.args[2]] if constants and len(node.args) > 2 and node.args[2] is not None else None
        return functional.linear(part[first], value[node.args[1]], bias)
    if name in ("conv1d", "conv2d", "conv3d"):
        bias = value[node.args[2]] if constants and len(node.args) > 2 and node.args[2] is not None else None
        return node.target(part[first], value[node.args[1]], bias, *node.args[3:])
    if name == "batch_norm":
        through = node.target(*plain(node.args))
        return through if constants else through - node.target(torch.zeros_like(part[first]), *plain(node.args[1:]))
    if name == "log_softmax":
        normaliser = value[first].exp().sum(node.args[1], keepdim=True).log()
        return part[first] - normaliser if constants else part[first]
    if name == "layer_norm":
        dims = tuple(range(-len(node.args[1]), 0))
        z, own = value[first], part[first]
        eps = node.args[4] if len(node.args) > 4 else 1e-5
        out = (own - own.mean(dims, keepdim=True)) / (z.var(dims, correction=0, keepdim=True) + eps).sqrt()
        weight, bias = (value[a] if isinstance(a, Node) else None for a in (*node.args[2:4], None, None)[:2])
        out = out if weight is None else out * weight
        return out + bias if constants and bias is not None else out
    if name == "rms_norm":
        dims = tuple(range(-len(node.args[1]), 0))
        eps = node.args[3] if len(node.args) > 3 and node.args[3] is not None else torch.finfo(torch.float64).eps
        out = part[first] / (value[first].square().mean(dims, keepdim=True) + eps).sqrt()
        return out * value[node.args[2]] if len(node.args) > 2 and node.args[2] is not None else out
    if name in ("mul", "div"):
        other = node.args[1] if first in part else first
        if first in part and node.args[1] in part:
            bounded = [name_of(a) in ("sigmoid", "hardsigmoid", "tanh") for a in node.args[:2]]
            first, other = node.args[:2] if bounded != [True, False] else node.args[1::-1]
        live, held = part[first if first in part else node.args[1]], value.get(other, other)
        return live * held if name == "mul" else live / held
    linear = (
        "view reshape flatten unflatten squeeze unsqueeze dropout contiguous clone alias permute transpose select "
        "slice getitem unbind split chunk mean sum expand movedim to _to_copy adaptive_avg_pool2d adaptive_max_pool2d"
    )
    if name in linear.split():
        return node.target(*plain(node.args), **plain(node.kwargs))
    # Anything else with one input: an elementwise function, held at the vector.
    z = value[first]
    start = node.target(torch.zeros(1, dtype=z.dtype), *node.args[1:], **node.kwargs)
    rise = torch.where(z == 0, 0.5 if name in ("gelu", "silu", "hardswish") else 1.0, (value[node] - start) / z)
    rise = torch.where((z == 0) & torch.tensor(name == "relu"), 0.0, rise)
    return part[first] * rise + (start if constants else 0)
