"""What cannot be given a block is refused in a sentence that says what to do."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import globalpool as gp
from globalpool.blocks import insert_se
from globalpool.errors import PoolError


class Trunk(nn.Module):
    """A convolution, a norm and a second norm nobody calls."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm, self.unused = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.convolution(x))
        return y


class ByTwo(Trunk):
    """The norm is called twice."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(super().forward(x))


class Read(Trunk):
    """The end of the branch is read by a second operation."""

    def forward(self, x: Tensor) -> Tensor:
        branch = super().forward(x)
        return (branch + x) * branch


class ReadBehindDropout(Trunk):
    """... from behind a module that does nothing in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.drop(super().forward(x))
        return (branch + x) * branch


class Equal(Trunk):
    """Two ways of the same length: neither is the shortcut."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(x) + self.norm(x)
        return y


class Asks(Trunk):
    """The way depends on the data."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if y.sum() > 0 else x


class Sized(Trunk):
    """A convolution that is called with two arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 3, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.up(x, (9, 9))
        return y


class Pair(nn.Module):
    """A module that gives two tensors."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, -x


class Pairs(Trunk):
    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.pair(super().forward(x))
        product: Tensor = a * b
        return product


class TwoInputs(Trunk):
    """A sum of two inputs, not of two ways from one."""

    def forward(self, x: Tensor, other: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x) + other


WRONG: list[tuple[Any, str]] = [
    (
        lambda: insert_se(Trunk(), "norm"),
        'insert_se: expected `where` to be "residual", "activation" or a list of names; got \'norm\'. Names go in a '
        'list: where=["norm"].',
    ),
    (
        lambda: insert_se(Trunk(), "residuals"),
        'insert_se: expected `where` to be "residual", "activation" or a list of names; got \'residuals\'.',
    ),
    (lambda: insert_se(Trunk(), []), "insert_se: expected `where` with at least one name, each once; got []."),
    (lambda: insert_se(Trunk(), ["norm", "norm"]), "with at least one name, each once; got ['norm', 'norm']."),
    (
        lambda: insert_se(Trunk(), ["norms", "norm"]),
        "insert_se: expected names of modules in Trunk; got 'norms'. Close to it: norm.",
    ),
    (
        lambda: insert_se(Trunk(), ["layer1", "norm"]),
        "got 'layer1'. They are listed by trunk.named_modules().",
    ),
    (lambda: insert_se(Trunk(), [""]), "insert_se: expected names of modules in Trunk; got ''."),
    (
        lambda: insert_se(Trunk()),
        'insert_se: expected residual branches that end in a module; got none in Trunk. Write where="activation", or',
    ),
    (lambda: insert_se(Equal()), "expected residual branches that end in a module; got none in Equal."),
    (lambda: insert_se(TwoInputs()), "expected residual branches that end in a module; got none in TwoInputs."),
    (
        lambda: insert_se(Trunk(), "activation"),
        "insert_se: expected activation modules that follow a convolution or norm; got none in Trunk. Write names",
    ),
    (
        lambda: insert_se(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), "activation"),
        "expected activation modules that follow a convolution or norm; got none in Sequential.",
    ),
    (
        lambda: insert_se(ByTwo(), ["norm"]),
        "insert_se: expected modules that are called once; got norm, called 2 times. One block would mix what",
    ),
    (lambda: insert_se(Trunk(), ["unused"]), "expected modules that are called once; got unused, called 0 times."),
    (
        lambda: insert_se(Read()),
        "insert_se: expected branches read by their addition alone; got norm, which 2 operations read. Name the",
    ),
    (lambda: insert_se(ReadBehindDropout()), "read by their addition alone; got norm, which 2 operations read."),
    (
        lambda: insert_se(Sized(), ["up"]),
        "insert_se: expected modules from one tensor to one tensor; got up, a ConvTranspose2d.",
    ),
    (lambda: insert_se(Pairs(), ["pair"]), "expected modules from one tensor to one tensor; got pair, a Pair."),
    (
        lambda: insert_se(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 3, 1)), ["0"]),
        "insert_se: expected a convolution or norm that tells the channels of 0; got none before it. Put the block",
    ),
    (
        lambda: insert_se(Asks()),
        "insert_se: expected a trunk that torch.fx can trace; got Asks, of which it says: symbolically traced "
        "variables cannot be used as inputs to control flow. Give the part that it can trace (a classifier's trunk), "
        "or names of convolutions or norms",
    ),
    (
        lambda: insert_se(nn.Sequential(Asks(), nn.ReLU()), ["1"]),
        "insert_se: expected a trunk that torch.fx can trace; got Sequential, of which it says: symbolically traced",
    ),
    (
        lambda: insert_se(gp.models.convnet(2), "activation"),
        "insert_se: expected a trunk that torch.fx can trace; got PooledClassifier, of which it says: ",
    ),
    (
        lambda: insert_se(
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), "activation", squeeze=lambda c: gp.Mean(dim=-1)
        ),
        "SqueezeExcite: expected a squeeze that reduces every axis; got dim=(-1,).",
    ),
]


@pytest.mark.parametrize(("build", "message"), WRONG, ids=[case[1][:40] for case in WRONG])
def test_what_cannot_be_given_a_block_is_refused(build: Any, message: str) -> None:
    with pytest.raises(PoolError, match=re.escape(message)):
        build()


def test_a_module_called_twice_in_a_torchvision_resnet() -> None:
    import torchvision

    with torch.device("meta"):
        network = torchvision.models.resnet18()
    with pytest.raises(PoolError, match=r"called once; got layer1\.0\.relu, called 2 times\."):
        insert_se(network, "activation")
