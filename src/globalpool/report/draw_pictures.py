"""Evidence on a picture, as ``report.kinds`` calls it."""

from typing import TYPE_CHECKING

from globalpool.data import Picture
from globalpool.data.kinds import InputKind
from globalpool.report.figure import draw_evidence
from globalpool.report.kinds import Panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_picture(item: Picture, inputs: InputKind, panels: Panels) -> "Figure":
    """The picture, and a panel for each class."""
    return draw_evidence(item.pixels, panels)
