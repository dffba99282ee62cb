"""The digits of the demonstration: canvases as files, batches, the network, and how fast it is here."""

import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.data import (
    ArraySource,
    Batches,
    CanvasBatches,
    CanvasDigits,
    Native,
    Warp,
    canvas_digits,
    evaluation_batches,
)
from globalpool.training import Architecture, Call
from globalpool.training.learner import HALVES

#: Steps are cheap on small canvases, and digits are as various there from 64 pixels on.
SIZES = (48, 48, 64, 64, 64, 80, 80, 96, 112, 128)
#: Black stays zero, which is also what convolutions see beyond the edge.
SPEC = InputSpec(80, (0.0,), (1.0,))
WIDTHS, SETTINGS = (24, 48, 96), {"depth": 3, "first_stride": 2}
#: Steps that are not timed, steps that are.
WARM, TIMED = 2, 6


@dataclass(frozen=True)
class Speed:
    """``seconds`` of one step with ``amp``."""

    amp: Literal["no", "bfloat16"]
    seconds: float


def architecture(classes: tuple[str, ...]) -> Architecture:
    """Nine layers, total stride 8; each position sees 71 pixels, which is more than a digit has."""
    return Architecture(Call("convnet", WIDTHS, SETTINGS), Call("Mean"), classes, SPEC)


def kept_canvases(sources: NDArray[np.int64]) -> CanvasDigits:
    """Each of these training digits once."""
    data = canvas_digits(1)
    rows = np.flatnonzero(np.isin(data.sources, sources)).tolist()
    pictures, masks = tuple(data.pictures[row] for row in rows), tuple(data.masks[row] for row in rows)
    return CanvasDigits(
        pictures, data.labels[rows], data.boxes[rows], masks, data.sources[rows], data.clutter[rows], data.split
    )


def judged_batches(data: CanvasDigits) -> Batches:
    """In order, each picture at its own size."""
    classes = tuple(map(str, range(10)))
    source = ArraySource(data.pictures, data.labels, classes)
    return evaluation_batches(source, range(len(data)), SPEC, Native(), 64)


def write_canvases(folder: Path, data: CanvasDigits) -> None:
    """PNG files in a subfolder a class, named by their number, and boxes.csv above them."""
    folder.mkdir(parents=True)
    with open(folder.parent / "boxes.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("path", "x", "y", "width", "height"))
        for number, (pixels, label) in enumerate(zip(data.pictures, data.labels.tolist(), strict=True)):
            path = folder / str(label) / f"{number:04d}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(path)
            table.writerow((path.relative_to(folder.parent).as_posix(), *data.boxes[number].tolist()))


def measured_speed(classifier: PooledClassifier, batch: int) -> Speed:
    """One step of training, in the faster of single and half precision: not every processor computes with halves.

    The classifier's weights stay; the running statistics of its norms are restored.
    """
    state = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    batches = CanvasBatches(SIZES, len(SIZES), batch, sources=None, warp=Warp())
    # A middle size: its area is about the mean of all.
    sample = next(one for one in batches if one.parts[0].shape[-1] == 80)
    found = []
    kinds: tuple[Literal["no", "bfloat16"], ...] = ("no", "bfloat16")
    for amp in kinds:
        for number in range(WARM + TIMED):
            if number == WARM:
                start = time.perf_counter()
            with torch.autocast("cpu", HALVES[amp] if amp != "no" else torch.bfloat16, enabled=amp != "no"):
                loss = torch.nn.functional.cross_entropy(classifier(sample.parts[0]), sample.targets)
            loss.backward()
            classifier.zero_grad()
        found.append(Speed(amp, (time.perf_counter() - start) / TIMED))
    start = time.perf_counter()
    made = sum(len(one) for one in batches) / batch
    making = (time.perf_counter() - start) / made
    classifier.load_state_dict(state)
    best = min(found, key=lambda speed: speed.seconds)
    return Speed(best.amp, best.seconds + making)
