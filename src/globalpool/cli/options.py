"""What each command can be told: flat dataclasses of plain values, free of heavy imports."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ExplainOptions:
    """Classes, probabilities and evidence of pictures, written to a folder with a page.

    Args:
        model: network to explain: a name of `globalpool models`, of timm or of torchvision, or a .safetensors file
        weights: .safetensors file with a state dict for the named model
        architecture: timm or torchvision name of the network whose state dict the model file holds
        classes: top1, top3, ... or class names or ids separated by commas (default: the top three)
        size: native, or the side in pixels to which the whole picture is resized (default: what the model was
            trained at)
        out: folder to write to
        overwrite: replace an earlier explanation in that folder
    """

    model: str = "efficientnet_lite0"
    weights: str | None = None
    architecture: str | None = None
    classes: str | None = None
    size: int | Literal["native"] | None = None
    out: str = "explanation"
    overwrite: bool = False


@dataclass(frozen=True)
class AdoptOptions:
    """Trunk, pool and tail of a network, and the proof that they are the network.

    Args:
        model: a name of `globalpool models`, of timm or of torchvision, or a .safetensors file
        weights: .safetensors file with a state dict for the named model
        architecture: timm or torchvision name of the network whose state dict the model file holds
        size: side of the input in pixels (default: what the model was trained at)
    """

    model: str
    weights: str | None = None
    architecture: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class CostOptions:
    """Parameters, multiply-adds, memory and time of one pass, by trunk, pool and tail.

    Args:
        model: a name of `globalpool models`, of timm or of torchvision, or a .safetensors file
        weights: .safetensors file with a state dict for the named model
        architecture: timm or torchvision name of the network whose state dict the model file holds
        size: side of the input in pixels (default: what the model was trained at)
        batch: inputs in one pass
        runs: passes that are timed (0: none)
    """

    model: str
    weights: str | None = None
    architecture: str | None = None
    size: int | None = None
    batch: int = 1
    runs: int = 10


@dataclass(frozen=True)
class CheckOptions:
    """What a data set holds, and every mistake with its file, its cause and what to do next.

    Args:
        data: folder with one subfolder of pictures a class, or a CSV file with the columns path and label
        seconds_per_picture: measured time of training on one picture, from which that of an epoch follows
        most: findings of one kind that are printed
    """

    data: str
    seconds_per_picture: float | None = None
    most: int = 10


@dataclass(frozen=True)
class SlimOptions:
    """A pool and one linear layer in place of a network's head, fitted to pictures and written to a file.

    Args:
        model: a name of `globalpool models`, of timm or of torchvision, or a .safetensors file
        data: folder with one subfolder of pictures a class (a split into train, val and test above them is kept), or
            a CSV file with the columns path and label
        out: .safetensors file to write; its card gets the same name with .json
        weights: .safetensors file with a state dict for the named model
        architecture: timm or torchvision name of the network whose state dict the model file holds
        pool: pool of the new head (see `globalpool pools`), with its settings if any, as in "grid(2, 2)"
        method: how the linear layer is fitted
        strength: penalty of the fit (default: ridge chooses it, by generalised cross-validation on the pictures fitted)
        share: share of each class's pictures that is held out, not fitted but judged on, unless the data say which
        test: folder to judge on in place of that share, laid out as the data
        size: side in pixels to which the whole picture is resized (default: what the model was trained at)
        batch: pictures in one pass
        overwrite: replace an earlier file of that name
    """

    model: str
    data: str
    out: str
    weights: str | None = None
    architecture: str | None = None
    pool: str = "mean"
    method: Literal["ridge", "logistic"] = "ridge"
    strength: float | None = None
    share: float = 0.2
    test: str | None = None
    size: int | None = None
    batch: int = 32
    overwrite: bool = False
