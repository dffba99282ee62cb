"""Pictures with what evidence points at: true boxes beside those found."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from globalpool.extras import need
from globalpool.localize import Heatmaps, foreground
from globalpool.report.figure import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, INCHES = 5, 1.9
TRUE, FOUND = "#1b7f3b", "#f2a900"


def draw_boxes(
    pictures: Sequence[NDArray[np.uint8]],
    maps: Heatmaps,
    boxes: Sequence[NDArray[Any]] | NDArray[Any],
    threshold: float,
    titles: Sequence[str],
) -> "Figure":
    """A matplotlib figure of pictures, made grey, with their maps over them.

    Pictures are ``(H, W, 3)``, or ``(H, W)``: light ink on a dark ground, turned round so that both colours show.
    ``boxes``: for each picture the true ones, ``(4,)`` or ``(M, 4)``, ``(x, y, width, height)``, drawn whole; the box
    of the largest component above ``threshold``, a share of each map's range, is drawn dashed. Each map on a scale of
    its own, symmetric around zero.
    """
    need("matplotlib", "images", "draw_boxes")
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    found = foreground(maps, threshold).boxes()
    rows = -(-len(pictures) // COLUMNS)
    figure = Figure((COLUMNS * INCHES, rows * (INCHES + 0.25)), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for number, (panel, pixels, values) in enumerate(zip(panels, pictures, maps.values, strict=False)):
        limit = float(np.abs(values).max()) or 1.0
        strength = (np.abs(values) / limit)[..., None] ** 0.7
        grey = _light(pixels)
        coloured = colormaps[COLOURS](0.5 + 0.5 * values / limit)[..., :3]
        height, width = pixels.shape[:2]
        panel.imshow(
            0.35 * grey + 0.65 * ((1 - strength) * grey + strength * coloured * grey), extent=(0, width, height, 0)
        )
        true = np.atleast_2d(boxes[number])
        for own, colour, style in (*((one, TRUE, "-") for one in true), *((one, FOUND, "--") for one in found[number])):
            x, y, wide, high = own.tolist()
            panel.add_patch(Rectangle((x, y), wide, high, fill=False, edgecolor=colour, linestyle=style, linewidth=1.6))
        panel.set_title(titles[number], fontsize=8, parse_math=False)
    figure.supxlabel("red: for the class said, blue: for its runner-up; box: true, dashed: found", fontsize=8)
    return figure


def _light(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """A light grey ground ``(H, W, 1)`` on which colours show."""
    if pixels.ndim == 2:
        return np.asarray(0.95 - 0.75 * pixels[..., None] / 255)
    return np.asarray(0.35 + 0.65 * pixels.mean(2, keepdims=True) / 255)
