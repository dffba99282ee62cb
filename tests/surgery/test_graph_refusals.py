"""Graph networks that cannot be adopted: every refusal names what stood in the way."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn
from torch_geometric.nn import EdgePooling, GraphNorm, Set2Set, global_max_pool, global_mean_pool
from torch_geometric.nn import Linear as LazyLinear
from torch_geometric.nn.aggr import MedianAggregation

import globalpool as gp
from globalpool.errors import AdoptionError, MissingExtraError
from globalpool.surgery import adopt
from tests.surgery.graph_models import CLASSES, WIDTH, End, Mean, build, end, graphs

BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "another readout": (
        lambda: end(lambda m, x, e, b: m.out(m.read(x, b)), read=MedianAggregation()),
        r"adopt: expected a readout from the nodes of each graph; got MedianAggregation \(read\), which is not a sum "
        r"of the nodes under weights of its own\. Return logits made of one vector a graph\. Those that can",
    ),
    "a recurrent readout": (
        lambda: end(
            lambda m, x, e, b: m.wide(m.read(x, b)), read=Set2Set(WIDTH, 2), wide=nn.Linear(2 * WIDTH, CLASSES)
        ),
        r"a readout from the nodes of each graph; got Set2Set \(read\), which is not a sum",
    ),
    "no readout": (
        lambda: end(lambda m, x, e, b: m.out(x)),
        r"got none going back from the logits: Linear \(out\), then ReLU \(act\), then SAGEConv \(two\)\. Return",
    ),
    "back to the nodes": (
        lambda: end(lambda m, x, e, b: m.out(global_mean_pool(x, b)[b])),
        r"expected a model that gives logits \(N, K\) of the 4 graphs read out; got \(15, 4\)\. Return logits",
    ),
    "nodes beside": (
        lambda: end(lambda m, x, e, b: m.out(global_mean_pool(x, b) + x[:1])),
        r"expected values of one row a graph \(4\) beside the pooled vectors; got \(1, 6\) from getitem \(getitem\)\.",
    ),
    "values decide": (
        lambda: end(lambda m, x, e, b: m.out(global_mean_pool(x if x.sum() > 0 else -x, b))),
        r"expected a forward of End that takes the same steps for every batch of graphs; got TraceError: symbolically "
        r"traced variables cannot be used as inputs to control flow\. Control flow that reads tensor values",
    ),
    "two values": (
        lambda: end(lambda m, x, e, b: (m.out(global_mean_pool(x, b)), x)),
        r"expected a model that returns one tensor of logits; got 2 values\. Wrap it",
    ),
    "no axis of classes": (
        lambda: end(lambda m, x, e, b: m.out(global_mean_pool(x, b))[:, 0]),
        r"expected a model that gives logits \(N, K\); got \(4,\)\. Leave the axis of classes there",
    ),
    "probabilities": (
        lambda: end(lambda m, x, e, b: m.out(global_mean_pool(x, b)).softmax(-1)),
        r"a tail of linear layers, .* after the readout; got going back from the logits: softmax \(softmax\)\.",
    ),
    "a tail that branches": (
        lambda: end(lambda m, x, e, b: m.branch(global_mean_pool(x, b)), branch=Branch()),
        r"expected a tail that torch.export can trace in eval mode; got",
    ),
    "a norm over the batch": (
        lambda: end(lambda m, x, e, b: m.out(m.norm(global_mean_pool(x, b))), norm=GraphNorm(WIDTH)),
        r"a tail that treats each graph by itself; got logits of a graph that change with the others of its batch\.",
    ),
    "unsorted nodes": (
        lambda: end(lambda m, x, e, b: m.last(x, e, b), merge=EdgePooling(WIDTH)),
        r"expected nodes at the readout with `batch` in ascending order; got an unsorted one\. Sort the rows first",
    ),
    "written over after the readout": (
        lambda: end(lambda m, x, e, b: m.out(global_mean_pool(x.tanh_(), b) + global_max_pool(x.sub_(1).exp_(), b))),
        r"expected the model's logits to a relative 1e-12 for an input \(15, \d+\); got a difference of",
    ),
    "layers without sizes": (
        lambda: End(lambda m, x, e, b: m.lazy(global_mean_pool(x, b)), lazy=LazyLinear(-1, CLASSES)),
        r"expected a model whose parameters have their sizes; got lazy layers\. Call the model once",
    ),
    "a pool of globalpool beside others": (
        lambda: end(lambda m, x, e, b: m.out(m.read(x, batch=b) + global_mean_pool(2 * x, b)), read=gp.Max()),
        r"expected a globalpool pool as the only readout, or with others of the same features; got one among readouts",
    ),
}


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_adopted_is_named(name: str) -> None:
    make, message = BAD[name]
    b = graphs()
    model = make()
    if name == "unsorted nodes":
        model.last = lambda m, x, e, b: None
        model.end = lambda m, x, e, b: (lambda q: m.out(global_mean_pool(q[0], q[2])))(m.merge(x, e, b))
    with pytest.raises(AdoptionError, match=message):
        adopt(model, (b.x, b.edge_index, b.batch))


def test_a_wrong_example_and_rows_out_of_order() -> None:
    b, model = graphs(), build(Mean)
    with pytest.raises(
        AdoptionError, match=r"expected an example that the model takes; got RuntimeError: mm: mat1 and mat2"
    ):
        adopt(model, (b.x[:, :3], b.edge_index, b.batch))
    classifier: Any = adopt(model, (b.x, b.edge_index, b.batch))
    with pytest.raises(gp.errors.LayoutError, match="`batch` in ascending order; got an unsorted one"):
        classifier(b.x, b.edge_index, b.batch.flip(0))


def test_a_hidden_readout_is_told_with_the_reason() -> None:
    class Hidden(nn.Module):
        def forward(self, x: Tensor, batch: Tensor) -> Any:
            return global_mean_pool(x, batch) if len(x) else x

    b = graphs()
    expected = (
        r"then Hidden \(read\).*; read could not be looked into \(RuntimeError: 'len' is not supported in symbolic"
    )
    with pytest.raises(AdoptionError, match=expected):
        adopt(end(lambda m, x, e, b: m.out(m.read(x, b)), read=Hidden()), (b.x, b.edge_index, b.batch))


def test_the_proof_refuses_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = build(Mean)
    b = graphs()
    with monkeypatch.context() as patch:
        patch.setattr(gp.Mean, "value", lambda self, features, layout, parts=None: layout.mean(features)[:, None] * 2)
        with pytest.raises(AdoptionError, match=r"for an input \(15, 6\); got Evidence.check: expected a residual"):
            adopt(model, model.arguments(b))
    sizes = build(lambda: End(lambda m, x, e, b: m.out(global_mean_pool(x, b) * m.other(x)), other=Rows()))
    with pytest.raises(AdoptionError, match=r"relative 1e-12 for an input \(30, 6\); got a difference of"):
        adopt(sizes, model.arguments(b))


class Rows(nn.Module):
    """A number that the example fixes when it is taken for a constant."""

    def forward(self, x: Tensor) -> int:
        return len(x)


def test_surgery_does_not_need_torch_geometric(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, globalpool.surgery; print([n for n in sys.modules if n.startswith('torch_geometric')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    b, model = graphs(), build(Mean)
    monkeypatch.setitem(sys.modules, "torch_geometric.nn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'globalpool\[graphs\]'"):
        adopt(model, (b.x, b.edge_index, b.batch))
