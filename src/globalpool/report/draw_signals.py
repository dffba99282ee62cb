"""Evidence along a signal."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from globalpool.data.signals import Signal, Signals
from globalpool.evidence import Evidence
from globalpool.extras import need
from globalpool.report.kinds import Panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Channels drawn; more would be too thin to read.
MOST_CHANNELS = 6


def draw_signal(item: Signal, inputs: Signals, panels: Panels) -> "Figure":
    """The channels above, and below them for each class its evidence as a curve over the signal.

    Bars are each position's own evidence over the stretch of the signal it stands for, in logit units and on one scale:
    the heights of all bars and the offset add up to the logit over the mean of all classes.
    """
    need("matplotlib", "images", "draw_signal")
    from matplotlib.figure import Figure

    channels, length = item.values.shape
    step = 1.0 if inputs.rate is None else 1 / inputs.rate
    times = np.arange(length) * step
    figure = Figure((8, 2.2 + 1.4 * len(panels)), layout="constrained")
    axes = figure.subplots(1 + len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for channel in range(min(channels, MOST_CHANNELS)):
        axes[0].plot(times, item.values[channel], linewidth=0.8, label=f"{channel}")
    title = item.path.name + (f", {MOST_CHANNELS} of {channels} channels" if channels > MOST_CHANNELS else "")
    axes[0].set_title(title, fontsize=9, parse_math=False)
    if channels > 1:
        axes[0].legend(fontsize=7, ncols=MOST_CHANNELS, loc="upper right")
    curves = [curve(evidence) for evidence, _ in panels]
    limit = max((float(np.abs(values).max()) for values in curves), default=0.0) or 1.0
    for panel, values, (_, text) in zip(axes[1:], curves, panels, strict=True):
        edges = np.linspace(0, length * step, len(values) + 1)
        colours = np.where(values > 0, "#b2182b", "#2166ac")
        panel.bar(edges[:-1], values, np.diff(edges), align="edge", color=colours)
        panel.set_ylim(-1.05 * limit, 1.05 * limit)
        panel.axhline(0, color="black", linewidth=0.5)
        panel.set_title(text.replace("\n", ", "), fontsize=9, parse_math=False)
        panel.set_ylabel("logits", fontsize=8)
    axes[-1].set_xlabel("seconds" if inputs.rate else "samples")
    return figure


def save_signal(path: Path, item: Signal, inputs: Signals, evidence: Evidence) -> list[Path]:
    """A table: begin and end of each position, and its raw evidence for each class shown."""
    columns = [curve(evidence.select(class_id)) for class_id in evidence.classes[0].tolist()]
    length = item.values.shape[1] * (1.0 if inputs.rate is None else 1 / inputs.rate)
    edges = np.linspace(0, length, len(columns[0]) + 1)
    unit = "seconds" if inputs.rate else "samples"
    file = path.with_suffix(".csv")
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        names = [f"class {class_id}" for class_id in evidence.classes[0].tolist()]
        table.writerow((f"begin ({unit})", f"end ({unit})", *names))
        table.writerows(zip(edges[:-1].tolist(), edges[1:].tolist(), *(c.tolist() for c in columns), strict=True))
    return [file]


def curve(evidence: Evidence) -> np.ndarray:
    """The evidence of each position of one sample for one class, float64 ``(P,)``."""
    maps = evidence.maps[0, 0] if evidence.maps.ndim > 2 else evidence.maps[:, 0]
    values: np.ndarray = maps.double().numpy(force=True)
    return values
