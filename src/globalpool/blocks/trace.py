"""What torch.fx sees of a network: every call of a module, and the additions that end residual branches."""

import operator
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import torch
from torch import fx, nn

from globalpool.blocks.squeeze_excite import SqueezeExcite
from globalpool.pools import Pool

Modules = dict[str, nn.Module]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
#: Modules that do nothing in eval mode: what is in front of them is the end of the branch.
SILENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
#: As torch.fx names them; a traced `+=` is an addition.
ADDITIONS = (operator.add, torch.add, "add", "add_")
PRODUCTS = (operator.mul, torch.mul, "mul", "mul_")


def own_channels(module: nn.Module) -> int | None:
    """Channels of the output of a convolution or norm ``(N, C, *S)``; None for any other module."""
    if isinstance(module, CONVOLUTIONS):
        return module.out_channels
    if isinstance(module, nn.GroupNorm):
        return module.num_channels
    return module.num_features if isinstance(module, (*BATCH_NORMS, *INSTANCE_NORMS)) else None


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module: what it gave (None if not one tensor) and whether it was given one argument alone."""

    output: fx.Node | None
    single: bool


class _Recorder(fx.Tracer):
    """Notes the calls of all modules, containers too; modules with weights of their own are not looked into."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, list[Call]] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        tensors = (*m.parameters(recurse=False), *m.buffers(recurse=False))
        whole = own_channels(m) is not None or (bool(tensors) and next(m.children(), None) is None)
        whole = whole or isinstance(m, Pool | SqueezeExcite)  # they check their input, which a proxy is not
        return whole or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        output = super().call_module(m, m.forward, args, kwargs)  # not __call__: hooks must not meet proxies
        node = output.node if isinstance(output, fx.Proxy) else None
        self.calls.setdefault(self.path_of_module(m), []).append(Call(node, len(args) == 1 and not kwargs))
        return output


@dataclass(frozen=True, eq=False)
class Trace:
    """The graph of a network in eval mode; ``calls`` by module name, in the order of the first call."""

    graph: fx.Graph
    calls: dict[str, list[Call]]
    modules: Modules

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module whose call ``node`` is."""
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def channels(self, node: fx.Node) -> tuple[int, nn.Module] | None:
        """Channels of ``node`` by the nearest convolution or norm behind it, and that module.

        The search passes what keeps channels: sums, products, and modules without a matrix of weights.
        """
        queue, seen = [node], {node}
        for place in queue:
            module = self.module(place)
            if module is not None:
                channels = own_channels(module)
                if channels is not None:
                    return channels, module
                keeps = isinstance(module, SqueezeExcite)
                passes = keeps or all(parameter.ndim < 2 for parameter in module.parameters())
            else:
                passes = place.target in (*ADDITIONS, *PRODUCTS)
            fresh = [source for source in place.all_input_nodes if passes and source not in seen]
            queue += fresh
            seen.update(fresh)
        return None

    def on_a_map(self, node: fx.Node) -> bool:
        """Whether a convolution lies behind ``node`` and no linear layer or flattening between: positions are left."""
        queue, seen = [node], {node}
        for place in queue:
            module = self.module(place)
            if isinstance(module, CONVOLUTIONS):
                return True
            ends = isinstance(module, nn.Linear | nn.Flatten | Pool) or place.target in (torch.flatten, "flatten")
            fresh = [source for source in place.all_input_nodes if not ends and source not in seen]
            queue += fresh
            seen.update(fresh)
        return False

    def loud(self, node: fx.Node) -> fx.Node:
        """The nearest node at or behind ``node`` that is neither silent in eval mode nor a block."""
        while isinstance(self.module(node), (*SILENT, SqueezeExcite)):
            (node,) = node.all_input_nodes
        return node

    def readers(self, node: fx.Node) -> list[fx.Node]:
        """The nodes that read ``node``, also from behind silent modules."""
        through = [self.readers(user) if isinstance(self.module(user), SILENT) else [user] for user in node.users]
        return list(dict.fromkeys(chain.from_iterable(through)))

    def branch_ends(self) -> Iterator[fx.Node]:
        """The module calls at the ends of residual branches.

        An addition ends one where its two operands come from a common place in the data and one way holds more
        modules than the other; the longer one is the branch, if it ends in a module.
        """
        for node in self.graph.nodes:
            operands = node.all_input_nodes
            if node.target not in ADDITIONS or len(operands) != 2:
                continue
            left, right = (self._behind[operand] for operand in operands)
            if not any(place in self._data for place in left & right):
                continue
            longer = self._modules_among(left - right) - self._modules_among(right - left)
            end = self.loud(operands[0] if longer > 0 else operands[1])
            if longer != 0 and end.op == "call_module":
                yield end

    def _modules_among(self, nodes: frozenset[fx.Node]) -> int:
        return sum(node.op == "call_module" for node in nodes)

    @cached_property
    def _behind(self) -> dict[fx.Node, frozenset[fx.Node]]:
        """Each node with all it is computed from, itself included."""
        behind: dict[fx.Node, frozenset[fx.Node]] = {}
        for node in self.graph.nodes:
            behind[node] = frozenset({node}.union(*(behind[source] for source in node.all_input_nodes)))
        return behind

    @cached_property
    def _data(self) -> set[fx.Node]:
        """The nodes that depend on the network's input, and not on its parameters alone."""
        return {node for node, behind in self._behind.items() if any(place.op == "placeholder" for place in behind)}


def trace(network: nn.Module) -> Trace:
    """What happens in ``network``, which is left as it is; raises whatever torch.fx raises."""
    tensors = (*network.parameters(), *network.buffers())
    # The modules are copied, for eval mode and for what tracing writes on them; the tensors are shared.
    copy = deepcopy(network, {id(tensor): tensor for tensor in tensors}).eval()
    recorder = _Recorder()
    graph = recorder.trace(copy)
    return Trace(graph, recorder.calls, dict(copy.named_modules()))
