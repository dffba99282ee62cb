"""The charts of a finding."""

from typing import TYPE_CHECKING

from globalpool.audits.finding import Cell, Chart, Finding
from globalpool.extras import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#a3162a", "#1b4f91", "#8a93a3", "#c98a1b", "#3b7d5a", "#6b4a8a", "#444b58", "#c0708a")
INCHES, HEIGHT = 5.2, 3.3
#: Values up to which labels below bars stand upright.
UPRIGHT = 4


def draw_charts(finding: Finding) -> "Figure":
    """A matplotlib figure of all charts of the finding, side by side."""
    need("matplotlib", "images", "draw_charts")
    from matplotlib.figure import Figure

    count = max(1, len(finding.charts))
    figure = Figure((INCHES * count, HEIGHT), layout="constrained")
    for axes, chart in zip(figure.subplots(1, count, squeeze=False)[0], finding.charts, strict=False):
        draw_chart(axes, chart)
    return figure


def draw_chart(axes: "Axes", chart: Chart) -> None:
    """One chart into the given axes."""
    labels = chart.table.column(chart.x)
    numeric = chart.kind == "lines" and all(isinstance(label, int | float) for label in labels)
    places = [float(label) for label in labels if isinstance(label, int | float)] if numeric else range(len(labels))
    for number, name in enumerate(chart.y):
        values = [_height(cell) for cell in chart.table.column(name)]
        colour = COLOURS[number % len(COLOURS)]
        if chart.kind == "lines":
            axes.plot(places, values, color=colour, marker="o", markersize=3.5, linewidth=1.5, label=name)
        else:
            width = 0.8 / len(chart.y)
            offset = (number - (len(chart.y) - 1) / 2) * width
            axes.bar([place + offset for place in places], values, width, color=colour, label=name)
    if chart.level is not None:
        axes.axhline(chart.level, color="#444b58", linewidth=0.9, linestyle=":", zorder=0)
    if chart.logarithmic:
        axes.set_yscale("log")
    elif chart.kind == "bars":
        axes.margins(y=0.3)  # room for the legend
    if not numeric:
        long = len(labels) > UPRIGHT
        axes.set_xticks(list(places), [str(label) for label in labels], rotation=30 if long else 0)
        for tick in axes.get_xticklabels():
            tick.set_horizontalalignment("right" if long else "center")
    axes.set_title(chart.title, fontsize=9)
    axes.set_xlabel(chart.x if numeric else "", fontsize=8)
    axes.set_ylabel(chart.unit, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)


def _height(cell: Cell) -> float:
    return float(cell) if isinstance(cell, int | float) else float("nan")
