"""The charts of a finding."""

from typing import TYPE_CHECKING

from globalpool.audits.finding import Cell, Chart, Finding
from globalpool.extras import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#a3162a", "#1b4f91", "#8a93a3", "#c98a1b", "#3b7d5a", "#6b4a8a", "#444b58", "#c0708a")
INCHES, HEIGHT = 5.2, 3.3
GUIDE = "#444b58"
#: Letters of all names together up to which bars stand.
UPRIGHT = 50


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
    """One chart into the given axes; bars with long names lie, so that the names can be read."""
    if chart.kind == "bars":
        _draw_bars(axes, chart)
    else:
        _draw_lines(axes, chart)
    axes.set_title(chart.title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)


def _draw_lines(axes: "Axes", chart: Chart) -> None:
    labels = chart.table.column(chart.x)
    numeric = all(isinstance(label, int | float) for label in labels)
    places = [float(label) for label in labels if isinstance(label, int | float)] if numeric else range(len(labels))
    for number, name in enumerate(chart.y):
        values = [_height(cell) for cell in chart.table.column(name)]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(places, values, color=colour, marker="o", markersize=3.5, linewidth=1.5, label=name)
    if chart.level is not None:
        axes.axhline(chart.level, color=GUIDE, linewidth=0.9, linestyle=":", zorder=0)
    if chart.logarithmic:
        axes.set_yscale("log")
    if not numeric:
        axes.set_xticks(list(places), [str(label) for label in labels])
    axes.set_xlabel(chart.x if numeric else "", fontsize=8)
    axes.set_ylabel(chart.unit, fontsize=8)


def _draw_bars(axes: "Axes", chart: Chart) -> None:
    labels = [str(label) for label in chart.table.column(chart.x)]
    lie = sum(map(len, labels)) > UPRIGHT
    thick = 0.8 / len(chart.y)
    for number, name in enumerate(chart.y):
        values = [_height(cell) for cell in chart.table.column(name)]
        places = [place + (number - (len(chart.y) - 1) / 2) * thick for place in range(len(labels))]
        colour = COLOURS[number % len(COLOURS)]
        if lie:
            axes.barh(places, values, thick, color=colour, label=name)
        else:
            axes.bar(places, values, thick, color=colour, label=name)
    if chart.level is not None:
        guide = axes.axvline if lie else axes.axhline
        guide(chart.level, color=GUIDE, linewidth=0.9, linestyle=":", zorder=0)
    if lie:
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.set_xlabel(chart.unit, fontsize=8)
    else:
        axes.set_xticks(range(len(labels)), labels)
        axes.set_ylabel(chart.unit, fontsize=8)
    if chart.logarithmic:
        (axes.set_xscale if lie else axes.set_yscale)("log")
    else:
        axes.margins(x=0.3 if lie else None, y=None if lie else 0.3)  # room for the legend


def _height(cell: Cell) -> float:
    return float(cell) if isinstance(cell, int | float) else float("nan")
