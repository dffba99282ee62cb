"""From class labels alone to boxes, and how much better they are than guessing the middle.

    python examples/05_localisation.py figure.png

A small network learns the class of digits on larger canvases with clutter; no box is ever shown to it. Maps of the
class it says give boxes, with thresholds chosen on other pictures, and are judged beside the middle of the picture and
chance.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import globalpool as gp
from globalpool.localize import Heatmaps, MapRecipe, choose_threshold, class_maps, judge_localization
from globalpool.training import TrainingSettings, train

SIDE = 64
SPEC = gp.InputSpec(SIDE, (0.1,), (0.3,))
RECIPE = MapRecipe("centered", (0.75, 1.0, 1.5))


def network() -> gp.PooledClassifier:
    """Five convolutions, stride 8, Mean and one linear layer."""
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    channels = 1
    for width, stride in ((16, 2), (24, 1), (32, 2), (48, 2), (64, 1)):
        layers += [torch.nn.Conv2d(channels, width, 3, stride, padding=1, bias=False), torch.nn.BatchNorm2d(width)]
        layers += [torch.nn.ReLU()]
        channels = width
    return gp.PooledClassifier(
        torch.nn.Sequential(*layers),
        gp.Mean(),
        torch.nn.Linear(channels, 10),
        labels=list("0123456789"),
        input_spec=SPEC,
    )


def main(out: Path) -> None:
    digits = gp.data.canvas_digits(0, (SIDE,), count=1500)
    source = gp.data.ArraySource(digits.pictures, digits.labels)
    classifier = network()
    batches = gp.data.training_batches(source, range(len(digits)), SPEC, gp.data.Native(), 40)
    train(classifier, batches, None, TrainingSettings(epochs=5, learning_rate=5e-3))

    held_out = gp.data.canvas_digits(1, (SIDE,), split="test", count=300)
    x = torch.from_numpy(np.stack(held_out.pictures))[:, None].float() / 255
    x = (x - SPEC.mean[0]) / SPEC.std[0]
    found = class_maps(classifier, x, recipe=RECIPE)
    right = found.classes == torch.from_numpy(held_out.labels)
    print(f"{100 * float(right.float().mean()):.0f} % of {len(x)} held-out pictures are given their class")
    others, judged = slice(0, 100), slice(100, None)
    calibration = Heatmaps(found.maps.values[others], RECIPE.view), held_out.boxes[others]
    maps, boxes = Heatmaps(found.maps.values[judged], RECIPE.view), held_out.boxes[judged]
    promised = choose_threshold("conformal", calibration, alpha=0.1)
    result = judge_localization(maps, boxes, promised, validation=calibration)
    print(result)
    assert result.boxes[1].above_centre.low > 0, "better than the middle of the picture"
    overlap = choose_threshold("boxes", calibration)

    shown = range(5)
    figure = Figure((11, 4.6), layout="constrained")
    panels = figure.subplots(2, len(shown))
    masks = promised.foreground(maps).masks
    drawn = overlap.foreground(maps).boxes()
    for column in shown:
        values, picture = maps.values[column], held_out.pictures[judged][column]
        top, below = panels[:, column]
        limit = np.abs(values).max()
        top.imshow(picture, cmap="gray")
        below.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        below.contour(masks[column], levels=[0.5], colors="black", linewidths=0.8)
        for box, colour in ((boxes[column], "#4daf4a"), *((box, "#ff7f00") for box in drawn[column])):
            x0, y0, width, height = (float(side) for side in box)
            top.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), width, height, fill=False, edgecolor=colour, linewidth=2))
        top.set_title(f"said {int(found.classes[judged][column])}", fontsize=10)
        for panel in (top, below):
            panel.set_axis_off()
    figure.suptitle(
        "green: true box; orange: found. Below: evidence over the mean of all classes (red for, blue against);\n"
        "black: foreground that misses at most 10 % of a digit in expectation",
        fontsize=10,
    )
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "05_localisation.png"))
