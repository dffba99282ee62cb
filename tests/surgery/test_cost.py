"""Costs against hand counts and against the table of published numbers."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import globalpool as gp
from globalpool.errors import PoolError
from globalpool.surgery import Cost, CostRow, Latency, cost
from tests.evidence.test_no_side_effects import network, same, state


def meta(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make()


def torchvision_model(name: str, **settings: Any) -> nn.Module:
    return meta(lambda: getattr(torchvision.models, name)(weights=None, **settings))


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


# Input (C, *S), and multiply-adds of one sample written out: outputs times what each is summed over.
COUNTED: list[tuple[str, Callable[[], nn.Module], tuple[int, ...], int]] = [
    ("conv", lambda: nn.Conv2d(4, 6, 3, padding=1, stride=2), (4, 9, 8), 6 * 5 * 4 * (4 * 3 * 3)),
    ("grouped", lambda: nn.Conv2d(4, 6, (3, 1), groups=2), (4, 9, 8), 6 * 7 * 8 * (2 * 3 * 1)),
    ("depthwise", lambda: nn.Conv2d(4, 4, 3, groups=4, dilation=2), (4, 9, 8), 4 * 5 * 4 * (1 * 3 * 3)),
    ("conv1d", lambda: nn.Conv1d(4, 6, 3), (4, 9), 6 * 7 * (4 * 3)),
    ("conv3d", lambda: nn.Conv3d(2, 3, 2), (2, 4, 5, 6), 3 * 3 * 4 * 5 * (2 * 8)),
    ("transposed", lambda: nn.ConvTranspose2d(4, 6, 2, stride=2), (4, 3, 5), 4 * 3 * 5 * (6 * 2 * 2)),
    ("linear", lambda: nn.Linear(7, 5), (7,), 5 * 7),
    ("linear, tokens", lambda: nn.Linear(7, 5, bias=False), (3, 7), 3 * 5 * 7),
    ("products", lambda: Apply(lambda x: x @ x.transpose(1, 2)), (3, 7), 3 * 3 * 7),
    ("einsum", lambda: Apply(lambda x: torch.einsum("npc,nqc->npq", x, x)), (3, 7), 3 * 3 * 7),
    ("norms, pools, activations", lambda: nn.Sequential(nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2)), (4, 6, 6), 0),
    # q, k, v and the output: 4 products of 5 x 8 by 8 x 8; scores and sums: 5 x 5 x 8 each.
    ("attention", lambda: Attend(), (5, 8), 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8),
    ("attention, function", lambda: Apply(dot_product), (2, 5, 8), 2 * 2 * 5 * 5 * 8),
    # The fused kernel of eval mode would hide all of it.
    ("encoder", lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8), 1680 + 2 * 5 * 8 * 16),
]


class Attend(nn.Module):
    """Self-attention with two heads of width 4."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return out


def dot_product(x: Tensor) -> Tensor:
    return nn.functional.scaled_dot_product_attention(x, x, x)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(("make", "shape", "expected"), [row[1:] for row in COUNTED], ids=[row[0] for row in COUNTED])
def test_multiply_adds_by_hand(
    make: Callable[[], nn.Module], shape: tuple[int, ...], expected: int, batch_size: int, device: str
) -> None:
    with torch.device(device):
        model = make()
    if device == "meta" and next(model.parameters(), None) is None:
        model.register_buffer("place", torch.empty(1, device="meta"))
    counted = cost(model, shape, batch_size=batch_size, runs=0)
    assert counted.device == device
    assert counted.whole.multiply_adds == batch_size * expected
    assert sum(row.multiply_adds for row in counted.rows) == batch_size * expected
    assert counted.uncounted == ()
    assert counted.input_shape == (batch_size, *shape)


def test_products_with_vectors_by_hand() -> None:
    weight, vector = torch.ones(5, 7), torch.ones(7)
    cases: list[tuple[Callable[[Tensor], Tensor], int]] = [
        (lambda x: x @ vector, 3 * 7),
        (lambda x: weight @ x[0], 5 * 7),
        (lambda x: torch.addmv(torch.ones(5), weight, x[0]), 5 * 7),
        (lambda x: x[0] @ x[1], 7),
        (lambda x: torch.nn.functional.linear(x[0], weight, torch.ones(5)), 5 * 7),
    ]
    for function, expected in cases:
        assert cost(Apply(function), (7,), batch_size=3, runs=0).whole.multiply_adds == expected


def test_what_is_not_counted_is_named() -> None:
    counted = cost(nn.LSTM(3, 4), (5, 3), runs=0)
    assert counted.uncounted == ("mkldnn_rnn_layer",)
    assert str(counted).endswith("\nmultiply-adds without those of mkldnn_rnn_layer")


# Global average pooling in place of fully connected heads: convolutions, head, total, total with a pooled head.
PUBLISHED = [
    ("alexnet", 2_469_696, 58_631_144, 61_100_840, 256, 257_000, 2_726_696),
    ("vgg11", 9_220_480, 123_642_856, 132_863_336, 512, 513_000, 9_733_480),
    ("vgg16", 14_714_688, 123_642_856, 138_357_544, 512, 513_000, 15_227_688),
    ("vgg19", 20_024_384, 123_642_856, 143_667_240, 512, 513_000, 20_537_384),
]


@pytest.mark.parametrize(("name", "features", "head", "total", "width", "pooled", "slim"), PUBLISHED)
def test_parameters_of_alexnet_and_vgg(
    name: str, features: int, head: int, total: int, width: int, pooled: int, slim: int
) -> None:
    model = torchvision_model(name)
    counted = cost(model, (3, 224, 224))
    assert counted["features"].parameters == features
    assert counted["classifier"].parameters == head
    assert counted.whole.parameters == total
    assert counted.whole.latency is None
    tail = meta(lambda: nn.Linear(width, 1000))
    smaller = cost(gp.PooledClassifier(model.features, gp.Mean(), tail), (3, 224, 224))  # type: ignore[arg-type]
    assert [row.name for row in smaller.rows] == ["trunk", "pool", "tail"]
    assert [row.parameters for row in smaller.rows] == [features, 0, pooled]
    assert smaller.whole.parameters == slim
    assert smaller["trunk"].multiply_adds == counted["features"].multiply_adds
    assert smaller["tail"].multiply_adds == width * 1000


def test_parameters_of_googlenet() -> None:
    plain = torchvision_model("googlenet", aux_logits=False, init_weights=False)
    counted = cost(plain, (3, 224, 224))
    assert counted.whole.parameters == 6_624_904
    assert counted["fc"].parameters == 1_025_000
    assert counted.whole.parameters - counted["fc"].parameters == 5_599_904
    auxiliary = cost(torchvision_model("googlenet", aux_logits=True, init_weights=False), (3, 224, 224))
    assert auxiliary.whole.parameters == 13_004_888
    assert (auxiliary["aux1"].parameters, auxiliary["aux2"].parameters) == (3_188_968, 3_191_016)
    assert auxiliary["aux1"].multiply_adds == 0, "auxiliary heads do not run in eval mode"
    assert auxiliary.whole.multiply_adds == counted.whole.multiply_adds
    # The paper's 5 x 5 convolutions where torchvision has 3 x 3.
    for module in plain.modules():
        if type(module).__name__ == "Inception":
            third = module.branch3[1].conv  # type: ignore[index, union-attr]
            assert isinstance(third, nn.Conv2d)
            wider = nn.Conv2d(third.in_channels, third.out_channels, 5, padding=2, bias=False, device="meta")
            module.branch3[1].conv = wider  # type: ignore[index, union-attr]
    paper = cost(plain, (3, 224, 224))
    assert paper.whole.parameters == 7_005_832
    assert paper.whole.parameters - paper["fc"].parameters == 5_980_832


def test_the_fully_connected_layer_against_the_pooled_one() -> None:
    flat = cost(meta(lambda: nn.Linear(7 * 7 * 512, 4096, bias=False)), (7 * 7 * 512,))
    pooled = cost(meta(lambda: nn.Linear(512, 1000, bias=False)), (512,))
    assert (flat.whole.parameters, pooled.whole.parameters) == (102_760_448, 512_000)
    assert (flat.whole.multiply_adds, pooled.whole.multiply_adds) == (102_760_448, 512_000)
    assert cost(meta(lambda: nn.Linear(7 * 7 * 512, 4096)), (7 * 7 * 512,)).whole.parameters == 102_764_544
    assert cost(meta(lambda: nn.Linear(7 * 7 * 1024, 1000)), (7 * 7 * 1024,)).whole.parameters == 50_177_000


def test_resnet50() -> None:
    """4.0892 G: the convolutions and the linear layer of one picture of 224 x 224, and nothing else."""
    model = torchvision_model("resnet50")
    counted = cost(model, (3, 224, 224))
    assert counted.whole.parameters == 25_557_032
    assert counted.whole.multiply_adds == 4_089_184_256
    by_hand = 0
    sides: dict[nn.Module, int] = {}
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, inputs, output: sides.update({module: output.shape[-1]}))
    model(torch.empty(1, 3, 224, 224, device="meta"))
    for module, side in sides.items():
        assert isinstance(module, nn.Conv2d)
        by_hand += module.weight.numel() * side * side
    assert counted.whole.multiply_adds == by_hand + 2048 * 1000
    assert counted["fc"].multiply_adds == 2048 * 1000
    assert f"{counted.whole.multiply_adds / 1e9:.4f}" == "4.0892"


def test_rows_of_children_called_twice_nested_or_never() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(7))
            self.layers = nn.ModuleList([nn.Linear(7, 7), nn.Linear(7, 7, bias=False)])
            self.twice, self.never = nn.Linear(7, 7), nn.Linear(7, 9)
            self.alias = self.twice
            self.tied = nn.Linear(7, 7)
            self.tied.weight = self.twice.weight

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x)
            x = self.twice(self.twice(x)) @ self.layers[0].weight
            out: Tensor = self.tied(self.alias(x)) * self.scale
            return out

    counted = cost(Odd(), (7,), runs=2)
    assert [(row.name, row.parameters, row.multiply_adds) for row in counted.rows] == [
        ("layers", 56 + 49, 2 * 49),
        ("twice", 56, 3 * 49),
        ("never", 72, 0),
        ("tied", 7, 49),
        ("(itself)", 7, 49),
    ]
    assert counted.whole.parameters == sum(parameter.numel() for parameter in Odd().parameters())
    assert counted.whole.multiply_adds == 7 * 49
    assert counted["never"].latency == Latency(0.0, 0.0)


def test_a_child_called_by_a_child_counts_by_where_it_lives() -> None:
    class Calls(nn.Module):
        def __init__(self, other: nn.Module) -> None:
            super().__init__()
            self.own = nn.Linear(7, 7)
            self.calls: Callable[[Tensor], Tensor] = lambda x: other(x)  # not a child of this one

        def forward(self, x: Tensor) -> Tensor:
            return self.calls(self.own(x)) @ torch.ones(7, 7)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second = nn.Linear(7, 7)
            self.first = Calls(self.second)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.first(x)
            return out

    counted = cost(Model(), (7,), runs=1)
    assert [(row.name, row.multiply_adds) for row in counted.rows] == [("second", 49), ("first", 98)]


def test_a_layer_two_children_share_counts_in_the_first() -> None:
    shared = nn.Linear(7, 7)
    counted = cost(
        nn.Sequential(nn.Sequential(nn.Linear(7, 7), shared), nn.Sequential(shared, nn.ReLU())), (7,), runs=1
    )
    assert [(row.parameters, row.multiply_adds) for row in counted.rows] == [(112, 3 * 49), (0, 0)]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_peak_memory_by_hand(device: str) -> None:
    """float32, sizes in numbers: what is alive at once, the input (100) and the parameters aside."""
    with torch.device(device):
        grow, keep, shrink = nn.Linear(100, 1000), nn.Sequential(nn.ReLU(), nn.ReLU(inplace=True)), nn.Linear(1000, 10)
    counted = cost(nn.Sequential(grow, keep, nn.Unflatten(1, (10, 100)), nn.Flatten(), shrink), (100,), runs=0)
    # The linear layer's output; with the copy the first ReLU makes; the copy alone and views of it; with the end.
    assert [row.peak_memory for row in counted.rows] == [4000, 8000, 4000, 4000, 4040]
    assert counted.whole.peak_memory == 8000
    kept = cost(Kept().to(device), (100,), runs=0)
    assert [(row.name, row.peak_memory) for row in kept.rows] == [("one", 400), ("two", 800), ("(itself)", 1200)]
    # The first layer's output dies when the second's is there; the sum needs both and makes a third.
    half = cost(Kept().to(device).to(torch.bfloat16), (100,), batch_size=3, runs=0)
    assert half.whole.peak_memory == 3 * 600


class Kept(nn.Module):
    """Holds its first activation until the end."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(100, 100), nn.Linear(100, 100)

    def forward(self, x: Tensor) -> Tensor:
        held = self.one(x)
        out: Tensor = held + self.two(held)
        return out


def test_the_same_count_on_every_device() -> None:
    for name, shape in (("resnet18", (3, 64, 64)), ("vit_b_16", (3, 224, 224)), ("mobilenet_v3_small", (3, 64, 64))):
        counted = [cost(place(name), shape, runs=0) for place in (torchvision_model, real_model)]
        assert counted[0].device == "meta"
        assert counted[1].device == "cpu"
        for here, there in zip(*(one.rows for one in counted), strict=True):
            assert (here.name, here.parameters, here.multiply_adds) == (
                there.name,
                there.parameters,
                there.multiply_adds,
            )
            # Kernels differ in what they return beside their result: mean and deviation of a BatchNorm in eval mode
            # (on the meta device only; up to 1,024 channels here), the logarithms attention keeps.
            slack = 0.1 * there.peak_memory if name == "vit_b_16" else 2 * 1024 * 4
            assert abs(here.peak_memory - there.peak_memory) <= slack


def real_model(name: str) -> nn.Module:
    model: nn.Module = getattr(torchvision.models, name)(weights=None)
    return model


def test_latency_is_measured_where_there_is_a_machine() -> None:
    model = gp.models.convnet(2, num_classes=3, widths=(4, 6))
    counted = cost(model, (3, 16, 16), runs=3)
    assert [row.name for row in counted.rows] == ["trunk", "pool", "tail"]
    for row in (*counted.rows, counted.whole):
        assert row.latency is not None
        assert row.latency.median > 0
        assert row.latency.spread >= 0
    assert cost(model, (3, 16, 16), runs=0).whole.latency is None
    once = cost(model, (3, 16, 16), runs=1).whole.latency
    assert once is not None
    assert once.spread == 0


def test_latency_is_the_median_and_the_distance_of_the_quartiles() -> None:
    assert Latency.of([5.0, 1.0, 2.0, 100.0, 3.0]) == Latency(3.0, 5.0 - 2.0)


def test_runs_take_turns_and_the_first_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that counts its readings, 1, 2, 4, ...: the sums say which readings were used."""
    import globalpool.surgery.latency as latency

    calls: list[str] = []

    class Named(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            calls.append("forward")
            return super().forward(x)

    def clock(x: Tensor) -> float:
        calls.append("clock")
        return float(calls.count("clock"))

    monkeypatch.setattr(latency, "_now", clock)
    model = nn.Sequential(Named(2, 2), Named(2, 2))
    whole, rows = latency.measure(model, torch.ones(1, 2), runs=2)
    whole_pass = ["clock", "forward", "forward", "clock"]
    # Start; into 0; out of 0 and into 1; out of 1; the end.
    row_pass = ["clock", "clock", "forward", "clock", "clock", "forward", "clock", "clock"]
    assert calls == 3 * (whole_pass + row_pass)
    assert whole == Latency(1.0, 0.0)
    assert rows["0"] == rows["1"] == Latency(1.0, 0.0)


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_unchanged(training: bool) -> None:
    model = network().train(training)
    before = state(model)
    hooks = [len(hooks) for hooks in global_hooks()]
    cost(model, (3, 12, 12), runs=1)
    with pytest.raises(PoolError, match="expected a model that runs on an input"):
        cost(model, (4, 12, 12))
    assert same(before, state(model))
    assert [len(hooks) for hooks in global_hooks()] == hooks


@pytest.mark.parametrize("fused", [True, False])
def test_the_choice_of_attention_kernels_is_given_back(fused: bool) -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fused)
    try:
        cost(nn.Linear(3, 2), (3,), runs=0)
        with pytest.raises(PoolError, match="expected a model that runs on an input"):
            cost(nn.Linear(3, 2), (4,), runs=0)
        assert torch.backends.mha.get_fastpath_enabled() == fused
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def test_sparse_buffers_are_no_obstacle() -> None:
    model = Apply(lambda x: x @ torch.ones(4, 2))
    model.register_buffer("neighbours", torch.eye(3).to_sparse())
    assert cost(model, (4,), runs=0).whole.multiply_adds == 8


def global_hooks() -> list[Any]:
    module: Any = torch.nn.modules.module
    return [module._global_forward_hooks, module._global_forward_pre_hooks]


def test_the_table() -> None:
    rows = (
        CostRow("trunk", 2_469_696, 655_566_528, 1_330_000, Latency(0.0123, 0.0004)),
        CostRow("tail", 257_000, 256_000, 4_000, None),
    )
    table = Cost(CostRow("whole", 2_726_696, 655_822_528, 1_330_000, Latency(0.02, 0.0)), rows, (1, 3, 8, 8), "cpu", ())
    assert str(table) == (
        "one pass of (1, 3, 8, 8) on cpu\n"
        "       parameters  multiply-adds  peak memory          latency\n"
        "trunk   2,469,696    655,566,528      1.33 MB  12.30 ms ± 0.40\n"
        "tail      257,000        256,000      0.00 MB                -\n"
        "whole   2,726,696    655,822,528      1.33 MB  20.00 ms ± 0.00"
    )
    assert table["tail"] is rows[1]
    with pytest.raises(PoolError, match=re.escape("Cost: expected a row out of ['trunk', 'tail']; got 'pool'.")):
        table["pool"]


def test_inputs_of_other_dtypes() -> None:
    embedding = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3))
    assert cost(embedding, (6,), dtype=torch.long, runs=0).whole.multiply_adds == 6 * 12
    assert cost(nn.Linear(3, 2).double(), (3,), runs=0).whole.peak_memory == 16
    assert cost(gp.Mean(), (3, 4), runs=0).whole.peak_memory > 0


def test_inputs_that_do_not_fit() -> None:
    model = meta(lambda: nn.Conv2d(3, 4, 3))
    message = "cost: expected a model that runs on an input (1, 1, 3, 8, 8); got RuntimeError: "
    with pytest.raises(PoolError, match=re.escape(message) + ".*input_shape is without the batch axis"):
        cost(model, (1, 3, 8, 8))
    for shape, batch_size, runs in (((3, 0, 8), 1, 1), ((3, 8, 8), 0, 1), ((3, 8, 8), 1, -1), ((3, 8.0, 8), 1, 1)):
        got = f"got {shape}, batch_size {batch_size}, runs {runs}."
        with pytest.raises(PoolError, match=re.escape(got)):
            cost(model, shape, batch_size=batch_size, runs=runs)  # type: ignore[arg-type]
