"""The curves of a run, and accuracy by the pictures' size."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from globalpool.extras import need
from globalpool.training import TrainingResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from globalpool.report.training import SizeBin

TRAIN, JUDGED = "#8a93a3", "#a3162a"


def draw_curves(result: TrainingResult) -> "Figure":
    """NLL and accuracy over epochs, in training and validation; the best epoch is marked."""
    need("matplotlib", "images", "draw_curves")
    from matplotlib.figure import Figure

    figure = Figure((9.0, 3.0), layout="constrained")
    numbers = [epoch.epoch for epoch in result.epochs]
    for axes, name, title in zip(
        figure.subplots(1, 2), ("nll", "accuracy"), ("NLL, nats a picture", "accuracy"), strict=True
    ):
        for part, colour in (("train", TRAIN), ("validation", JUDGED)):
            values = [getattr(epoch, f"{part}_{name}") for epoch in result.epochs]
            axes.plot(numbers, values, color=colour, label=part, linewidth=1.6)
        axes.axvline(result.best, color="#c8ccd4", linewidth=1, zorder=0)
        axes.set_xlabel("epoch (line: the best)", fontsize=8)
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False)
    return figure


def draw_sizes(bins: Sequence["SizeBin"]) -> "Figure":
    """Accuracy with its interval in each bin of sizes."""
    need("matplotlib", "images", "draw_sizes")
    from matplotlib.figure import Figure

    figure = Figure((6.0, 2.6), layout="constrained")
    axes = figure.subplots()
    shares = [one.right for one in bins]
    errors = [[one.value - one.low for one in shares], [one.high - one.value for one in shares]]
    middles = [(one.smallest + one.largest) / 2 for one in bins]
    axes.errorbar(
        middles, [one.value for one in shares], yerr=errors, color=JUDGED, marker="o", capsize=3, linewidth=1.4
    )
    axes.set_xlabel("side in pixels (root of height x width)", fontsize=8)
    axes.set_title("accuracy by size, with 95 % intervals", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
