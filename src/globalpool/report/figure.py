"""A picture beside the evidence for its classes: for and against in two colours, one scale, logit units."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from globalpool.errors import EvidenceError
from globalpool.evidence import Evidence
from globalpool.extras import need

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "RdBu_r"  # red for, blue against: told apart with every common colour vision
PANEL_INCHES, LEAST_PIXELS, MOST_PIXELS = 3.2, 320, 640


def draw_evidence(pixels: NDArray[np.uint8], panels: Sequence[tuple[Evidence, str]]) -> "Figure":
    """A matplotlib figure: the picture, then for each panel its evidence over the grey picture.

    ``pixels (H, W, 3)`` uint8; a panel is evidence of one dense 2-D sample for one class, centred or a contrast,
    and its title. Colours show each position's evidence interpolated to the picture's own resolution (its longer
    side reduced to 640 where it has more), all panels on one scale, symmetric around zero.
    """
    own_height, own_width = pixels.shape[:2]
    pixels = _at_most(pixels, MOST_PIXELS)
    height, width = pixels.shape[:2]
    values, limit = [], 0.0
    for evidence, _ in panels:
        if evidence.view == "raw":
            hint = "Use evidence.centered() or evidence.contrast(i, j)."
            raise EvidenceError("draw_evidence", "evidence against something, with a meaning of zero", "raw maps", hint)
        picture = evidence.interpolate((height, width))
        if isinstance(picture, list) or picture.shape[:2] != (1, 1):
            raise EvidenceError("draw_evidence", "evidence of one dense sample for one class", str(evidence.maps.shape))
        values.append(picture[0, 0].detach().float().numpy(force=True))
        limit = max(limit, float(evidence.maps.detach().abs().max()))
    limit = limit or 1.0
    grey = (pixels.mean(2, keepdims=True, dtype=np.float32) / 255).repeat(3, axis=2)

    need("matplotlib", "images", "draw_evidence")
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    colours, scale = colormaps[COLOURS], Normalize(-limit, limit)
    ratio = min(max(height / width, 0.4), 2.5)
    figure = Figure((PANEL_INCHES * (1 + len(panels)) + 0.9, PANEL_INCHES * ratio + 0.8), layout="constrained")
    axes = figure.subplots(1, 1 + len(panels), squeeze=False)[0]
    axes[0].imshow(pixels)
    axes[0].set_title(f"{own_width} x {own_height}", fontsize=9)
    for panel, value, (_, title) in zip(axes[1:], values, panels, strict=True):
        strength = (np.abs(value) / limit).clip(0, 1)[..., None] ** 0.7
        panel.imshow((1 - strength) * (0.35 + 0.65 * grey) + strength * colours(scale(value))[..., :3])
        panel.set_title(title, fontsize=9, parse_math=False)
    for panel in axes:
        panel.set_axis_off()
    cells = " x ".join(map(str, reversed(panels[0][0].maps.shape[2:])))
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=list(axes), fraction=0.03, pad=0.01)
    bar.set_label(f"evidence, logits per position ({cells})\nblue: against    red: for", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def _at_most(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture with its longer side reduced to ``side``: a figure shows no more, and memory stays small."""
    height, width = pixels.shape[:2]
    if max(height, width) <= side:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    return np.asarray(image)


def save_figure(figure: "Figure", path: Path, pixels_wide: int) -> None:
    """Write a PNG whose panels are about as wide as the picture, within legible bounds."""
    dpi = min(max(pixels_wide, LEAST_PIXELS), MOST_PIXELS) / PANEL_INCHES
    figure.savefig(path, dpi=dpi)
