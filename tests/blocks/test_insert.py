"""An inserted network: nothing else is changed, and gates of known value give known networks."""

import operator
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.testing import assert_close

import globalpool as gp
from globalpool.blocks import SqueezeExcite, insert_se
from globalpool.blocks.trace import trace
from tests.blocks.networks import blocks_of, count, first_gradient, set_gates, small_resnet


class Branch(nn.Module):
    """The sum, by ``add``, of ``x`` and ``dropout(norm(convolution(x)))``."""

    def __init__(self, add: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.add = add
        self.convolution, self.norm, self.drop = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.drop(self.norm(self.convolution(x)))
        return self.add(x, branch)


def add_to(a: Tensor, b: Tensor) -> Tensor:
    b += a
    return b


@pytest.mark.parametrize(
    "add",
    [operator.add, add_to, torch.add, lambda a, b: a.add(b), lambda a, b: b.add_(a), lambda a, b: b + a],
)
def test_every_way_to_add_ends_a_branch_and_dropout_is_stepped_over(add: Any) -> None:
    network = Branch(add).eval()
    inserted = insert_se(network)
    assert list(blocks_of(inserted)) == ["norm.1"]
    set_gates(inserted, 0.0)
    x = torch.randn(2, 4, 5, 5)
    with torch.no_grad():
        assert torch.equal(inserted(x), x + network.norm(network.convolution(x)) / 2)


def test_the_given_network_is_untouched_and_the_copy_shares_nothing() -> None:
    network, x = small_resnet(), torch.randn(2, 3, 64, 64)
    network.get_submodule("layer1").requires_grad_(False)
    network.get_submodule("layer2").train()
    seen: list[str] = []
    for name in ("layer1.0.bn2", "layer3.0"):
        network.get_submodule(name).register_forward_hook(lambda *_: seen.append("hook"))
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    kinds, modes = [type(m) for m in network.modules()], [m.training for m in network.modules()]
    modules = dict(network.named_modules())
    inserted = insert_se(network)
    assert seen == []  # tracing calls no hook
    assert [type(m) for m in network.modules()] == kinds
    assert [m.training for m in network.modules()] == modes
    assert all(modules[name] is module for name, module in network.named_modules())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name])
        assert tensor.data_ptr() not in {other.data_ptr() for other in inserted.state_dict().values()}
    for name, block in blocks_of(inserted).items():
        assert block.training == name.startswith("layer2")
    for name, parameter in inserted.named_parameters():
        inside = name.startswith("layer1") and ".bn2.1." not in name
        assert parameter.requires_grad != inside
    inserted(x)
    assert seen == ["hook", "hook"]  # the hooks came along
    # ... and a block after a module with a hook leaves what the hook saw as it was.
    assert [block.inplace for block in blocks_of(inserted).values()] == [False, True, True, True]


def test_gates_of_one_give_the_network_back_bit_for_bit() -> None:
    network, x = small_resnet(), torch.randn(2, 3, 64, 64)
    inserted = insert_se(network)
    set_gates(inserted, 100.0)  # sigmoid(100) is 1 in float32
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            assert torch.equal(inserted(x), network(x))
    assert torch.equal(first_gradient(inserted, x), first_gradient(network, x))


def test_gates_of_one_half_halve_the_branches() -> None:
    """Half of a branch's last norm, weight and bias, is the same network; exact, as halving is."""
    network, x = small_resnet(), torch.randn(2, 3, 64, 64)
    inserted = insert_se(network)
    set_gates(inserted, 0.0)
    with torch.no_grad():
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            for parameter in network.get_submodule(f"{stage}.0.bn2").parameters():
                parameter.mul_(0.5)
        assert torch.equal(inserted(x), network(x))


def test_writing_in_place_changes_no_number() -> None:
    inserted, x = insert_se(small_resnet()), torch.randn(2, 3, 64, 64)
    other = deepcopy(inserted)
    for block in blocks_of(other).values():
        block.inplace = False
    with torch.no_grad():
        assert torch.equal(inserted(x), other(x))
    assert torch.equal(first_gradient(inserted, x), first_gradient(other, x))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_after_every_activation_of_a_convnet(dims: Any) -> None:
    torch.manual_seed(0)
    trunk = gp.models.convnet(dims, in_channels=2, widths=(8, 16, 32)).trunk.double().eval()
    inserted = insert_se(trunk, "activation", reduction=4)
    assert list(blocks_of(inserted)) == ["2.1", "5.1", "8.1"]
    assert count(inserted) - count(trunk) == sum(2 * c * c // 4 + c + c // 4 for c in (8, 16, 32))
    assert all(block.inplace for block in blocks_of(inserted).values())
    x = torch.randn(2, 2, *(17, 14, 9)[:dims], dtype=torch.float64)
    set_gates(inserted, 100.0)
    with torch.no_grad():
        assert torch.equal(inserted(x), trunk(x))
    set_gates(inserted, 0.0)
    assert inserted(x).dtype == torch.float64
    expected = x
    for layer in trunk.children():
        expected = layer(expected) / 2 if isinstance(layer, nn.ReLU) else layer(expected)
    assert_close(inserted(x), expected, rtol=1e-12, atol=0)


def test_after_every_convolution_activation_of_vgg_and_none_of_its_linear_layers() -> None:
    with torch.device("meta"):
        network = torchvision.models.vgg16()
    channels = [block.channels for block in blocks_of(insert_se(network, "activation")).values()]
    assert channels == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6


def test_names_and_a_squeeze_of_ones_own() -> None:
    network, x = small_resnet(), torch.randn(2, 3, 64, 64)
    names = ["conv1", "layer1.0.bn1", "layer2", "layer2.0.bn2", "maxpool"]
    inserted = insert_se(network, names, reduction=8, minimum=9, squeeze=gp.Attention)
    found = blocks_of(inserted)
    assert {name.replace(".0.0.", ".0.").removesuffix(".1") for name in found} == set(names)
    assert [block.channels for block in found.values()] == [64, 64, 64, 128, 128]
    assert [block.inplace for block in found.values()] == [True, False, True, True, False]
    for block in found.values():
        assert isinstance(block.squeeze, gp.Attention)
        assert block.reduce.out_features == max(block.channels // 8, 9)
    set_gates(inserted, 100.0)
    assert torch.equal(inserted(x), network(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_new_parameters_follow_their_neighbours(dtype: torch.dtype) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.InstanceNorm2d(4), nn.ReLU()).to(dtype)
    places: list[Any] = ["activation", ["0"], ["1"]]
    for where in places:
        inserted = insert_se(network, where)
        assert {parameter.dtype for parameter in inserted.parameters()} == {dtype}
        assert inserted(torch.randn(1, 3, 2, 2, dtype=dtype)).dtype == dtype


def test_a_module_with_two_names_gets_its_block_under_both() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(4)
            self.layers = nn.Sequential(nn.Conv2d(4, 4, 1), self.norm)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.layers(x)
            return y

    network = Twice().eval()
    inserted = insert_se(network, ["norm"])
    set_gates(inserted, 0.0)
    x = torch.randn(1, 4, 3, 3)
    assert torch.equal(inserted(x), network(x) / 2)


def test_a_trunk_that_cannot_be_traced_takes_names_of_convolutions_and_norms() -> None:
    class Asks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.convolution(x)
            return y if y.sum() > 0 else -y

    network, x = Asks(), torch.randn(2, 3, 4, 4)
    inserted = insert_se(network, ["convolution"], reduction=2)
    set_gates(inserted, 100.0)
    assert torch.equal(inserted(x), network(x))


def test_the_search_for_channels_stops_at_a_linear_layer() -> None:
    network = nn.Sequential(nn.Conv1d(3, 8, 1), nn.Linear(5, 6), nn.ReLU())
    traced = trace(network)
    output = traced.calls["1"][0].output
    assert output is not None
    assert traced.channels(output) is None
    with pytest.raises(gp.errors.PoolError, match="tells the channels of 2; got none before it"):
        insert_se(network, ["2"])


def test_a_norm_of_vectors_is_no_place_for_a_block() -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)).eval()
    inserted = insert_se(network, "activation", reduction=4)
    assert [name for name, module in inserted.named_modules() if isinstance(module, SqueezeExcite)] == ["2.1"]
    assert inserted(torch.randn(2, 3, 9, 9)).shape == (2, 4)


def test_a_network_that_has_blocks_can_be_given_more() -> None:
    once = insert_se(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()), ["0"])
    twice = insert_se(once, "activation", reduction=4)
    names = [name for name, module in twice.named_modules() if isinstance(module, SqueezeExcite)]
    assert names == ["0.1", "1.1", "3.1"]
    assert twice(torch.randn(2, 3, 9, 9)).shape == (2, 8, 5, 5)
