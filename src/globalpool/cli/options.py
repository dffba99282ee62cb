"""What each command can be told: flat dataclasses of plain values, free of heavy imports."""

from dataclasses import dataclass
from typing import Literal

from globalpool.training.settings import TrainingSettings


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
        data: folder with one subfolder of files a class, or a CSV file with the columns path and label
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


@dataclass(frozen=True)
class TrainOptions(TrainingSettings):
    """A classifier of pictures, recordings, signals, graphs or volumes, trained on a folder or a table.

    Args:
        data: folder with one subfolder of files a class (or train, val and test folders of such), or a CSV file
            with the columns path and label
        out: folder of the run, new or empty
        kind: what the files are; auto goes by their suffixes
        inputs: how files other than pictures become inputs, as in rate=8000,bands=64 (their page names the settings)
        trunk: convnet, or with widths as in "convnet(32, 64, 128)"; efficientnet_lite0 with its packaged weights;
            timm:NAME, random unless weights are given; or a trunk of the kind (default: convnet, or the kind's own)
        weights: .safetensors file with a state dict for the named network of timm
        pool: pool of the head (see `globalpool pools`), with its settings if any, as in "grid(2, 2)"
        mode: full trains all weights; frozen leaves the trunk as it is, lets each picture through it once, and fits the
            last layer
        batch: pictures in one step, of all processes together
        size: side in pixels to which the whole picture is resized; native leaves it as it is; buckets takes the nearest
            of at most eight shapes (default: native where the data have at most eight sizes, none above the pixels
            below, otherwise buckets)
        pixels: of the largest bucket
        validation: share of each class on which the best epoch is chosen
        test: share of each class that is held out until the end
        boxes: CSV file with the columns path, x, y, width, height of true boxes in pixels; the report then says how
            well the evidence of pictures held out finds them
        flip: probability with which a training picture is mirrored left to right
        shift: largest shift of a training picture, as a share of its sides
        zoom: largest change of a training picture's scale, as a share
        light: largest change of a training picture's brightness, contrast and saturation, as a share
        workers: processes that read pictures beside the one that trains
        device: where to train; auto takes a graphics processor where there is one
    """

    data: str = ""
    out: str = ""
    kind: Literal["auto", "pictures", "audio", "signals", "graphs", "volumes"] = "auto"
    inputs: str = ""
    trunk: str | None = None
    weights: str | None = None
    pool: str = "mean"
    mode: Literal["full", "frozen"] = "full"
    batch: int = 32
    size: int | Literal["native", "buckets"] | None = None
    pixels: int = 224 * 224
    validation: float = 0.15
    test: float = 0.15
    boxes: str | None = None
    flip: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    light: float = 0.0
    workers: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class ResumeOptions:
    """A run that was interrupted, continued from its newest whole checkpoint.

    Args:
        run: folder that `globalpool train` wrote
        data: where the pictures are now, where they were moved
    """

    run: str = ""
    data: str | None = None


@dataclass(frozen=True)
class PredictOptions:
    """Classes of pictures, by a trained run.

    Args:
        run: folder that `globalpool train` wrote
        out: folder to write to, new or empty
        format: csv (predictions.csv) or jsonl (predictions.jsonl, one object a line)
        top: classes for each picture, the most probable first
        weights: those of the best or of the last epoch
        size: native, or the side in pixels to which the whole picture is resized (default: as in training)
        batch: pictures in one pass
        device: where to compute; auto takes a graphics processor where there is one
    """

    run: str = ""
    out: str = ""
    format: Literal["csv", "jsonl"] = "csv"
    top: int = 1
    weights: Literal["best", "last"] = "best"
    size: int | Literal["native"] | None = None
    batch: int = 32
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class LocalizeOptions:
    """Boxes around what a trained run sees in pictures.

    Args:
        run: folder that `globalpool train` wrote
        out: folder to write to, new or empty
        calibrate: CSV file with the columns path, x, y, width, height of other pictures, on which thresholds are chosen
        share: share of a table's pictures on which thresholds are chosen where no calibration is given
        seed: of that split
        threshold: of the foreground; conformal (misses at most alpha of an object in expectation), boxes (boxes overlap
            best), both chosen on the calibration pictures; zero (evidence for against evidence against); oracle (boxes
            overlap best on the judged pictures themselves); or a number from 0 to below 1, a share of each map's range
            (default: conformal where there are calibration pictures, otherwise zero)
        alpha: share of an object that may be missed by the conformal threshold
        evidence: centered (for the class over the mean of all), contrast (over the strongest other) or raw (the class
            activation map)
        scales: factors of the picture's sides, separated by commas; the maps at all of them are averaged
        keep: a box for the largest connected part of the foreground, or one for each part
        weights: those of the best or of the last epoch
        size: native, or the side in pixels to which the whole picture is resized (default: as in training)
        batch: pictures in one pass
        device: where to compute; auto takes a graphics processor where there is one
    """

    run: str = ""
    out: str = ""
    calibrate: str | None = None
    share: float = 0.5
    seed: int = 0
    threshold: float | Literal["conformal", "boxes", "zero", "oracle"] | None = None
    alpha: float = 0.1
    evidence: Literal["raw", "contrast", "centered"] = "centered"
    scales: str = "0.75,1,1.5"
    keep: Literal["largest", "all"] = "largest"
    weights: Literal["best", "last"] = "best"
    size: int | Literal["native"] | None = None
    batch: int = 32
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class DemoOptions:
    """Packaged photographs explained, and a classifier of packaged digits trained, judged and reported.

    Args:
        out: folder to write to; nothing is written elsewhere
        seconds: of training, about
        updates: of training, in place of as many as fit into that time
        pictures: held-out digits that are judged
        seed: of every random number
        overwrite: replace an earlier demonstration in that folder
    """

    out: str = "demo"
    seconds: float = 100.0
    updates: int | None = None
    pictures: int = 1000
    seed: int = 0
    overwrite: bool = False
