"""A graph network as the list of modules and functions it calls: torch_geometric's own stay whole in it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import isfunction
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node, Proxy, Tracer

from globalpool.errors import AdoptionError
from globalpool.extras import need
from globalpool.pools import Pool
from globalpool.surgery.graphs.call_form import CallForm

#: They take sizes, which are values of the trace here.
MAKERS = (torch.zeros, torch.ones, torch.full, torch.arange, torch.empty)


def trace_graph_model(model: nn.Module, form: CallForm) -> tuple[GraphModule, dict[str, str]]:
    """``model`` as a graph of calls with the inputs of ``form``; and the modules that could not be looked into, why.

    Modules of torch_geometric, message passing of any origin and torch's own layers are single calls. A module whose
    forward cannot be followed becomes a single call too; the outermost forward must be one that can.
    """
    opaque: dict[str, str] = {}
    while True:
        tracer = _Tracer(form, opaque)
        try:
            with _aggregations_traced():
                graph = tracer.trace(model)
        except _Opaque as stop:
            opaque[stop.path] = _said(stop.reason)
            continue
        except Exception as error:  # any failure of the tracer means the same here, and is told
            raise AdoptionError(
                "adopt",
                f"a forward of {type(model).__name__} that takes the same steps for every batch of graphs",
                _said(error),
                "Control flow that reads tensor values or sizes is the usual cause; move it into a module of its own.",
            ) from error
        _share_reads(graph)
        return GraphModule(model, graph), opaque


def _said(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0].rstrip('.') if text else ''}"[:300]


class _Opaque(Exception):
    def __init__(self, path: str, reason: Exception) -> None:
        super().__init__(path)
        self.path, self.reason = path, reason


class _Tracer(Tracer):
    trace_asserts = True

    def __init__(self, form: CallForm, opaque: dict[str, str]) -> None:
        geometric = need("torch_geometric.nn", "graphs", "adopt")
        owners = (geometric, geometric.pool, sys.modules["torch_geometric.utils"])
        functions = [f for owner in owners for f in vars(owner).values() if isfunction(f)]
        own = [f for f in functions if f.__module__.startswith("torch_geometric.")]
        super().__init__(autowrap_functions=(*own, *MAKERS))
        self._autowrap_search += [torch, *(m for n, m in sys.modules.items() if n.startswith("torch_geometric."))]
        self.whole = (geometric.MessagePassing, geometric.Aggregation, Pool)
        self.open = (geometric.Sequential, nn.Sequential, nn.ModuleList, nn.ModuleDict)
        self.form, self.opaque = form, opaque

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        inputs = [self.create_proxy("placeholder", name, (), {}) for name in self.form.inputs]
        bound = self.form.bind(inputs)
        forward = self.root.forward  # the instance's: torch_geometric.nn.Sequential has one a model
        return (lambda: forward(*bound.args, **bound.kwargs)), []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, self.open):
            return False
        known = type(m).__module__.startswith("torch_geometric.") or isinstance(m, self.whole)
        return known or module_qualified_name in self.opaque or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except _Opaque:
            raise
        except Exception as error:
            path = self.path_of_module(m)
            if path and path not in self.opaque:
                raise _Opaque(path, error) from error
            raise


@contextmanager
def _aggregations_traced() -> Iterator[None]:
    """``Aggregation.__call__`` looks at its arguments before anything records the call; traced ones go past it."""
    kind: Any = need("torch_geometric.nn", "graphs", "adopt").Aggregation
    usual = kind.__call__

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, Proxy) for value in (*args, *kwargs.values())):
            return nn.Module.__call__(self, *args, **kwargs)
        return usual(self, *args, **kwargs)

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = usual


def _share_reads(graph: Graph) -> None:
    """``data.batch`` read twice is one value."""
    seen: dict[Any, Node] = {}
    for node in list(graph.nodes):
        if node.op == "call_function" and getattr(node.target, "__name__", "") in ("getattr", "getitem"):
            first = seen.setdefault(str((node.target, node.args)), node)
            if first is not node:
                node.replace_all_uses_with(first)
                graph.erase_node(node)
