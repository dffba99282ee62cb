"""How evidence is shown on what the user knows: pixels, seconds, atoms, millimetres."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from globalpool.data.kinds import InputKind
from globalpool.evidence import Evidence
from globalpool.report.figure import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Pairs of evidence (of one sample for one class, centred or a contrast) and a title.
Panels = Sequence[tuple[Evidence, str]]

#: By kind: module and function ``(item, inputs, panels) -> Figure``.
DRAW: dict[str, tuple[str, str]] = {
    "graphs": ("globalpool.report.draw_graphs", "draw_graph"),
    "pictures": ("globalpool.report.draw_pictures", "draw_picture"),
    "signals": ("globalpool.report.draw_signals", "draw_signal"),
    "audio": ("globalpool.report.draw_audio", "draw_recording"),
    "volumes": ("globalpool.report.draw_volumes", "draw_volume"),
}
#: By kind, where files lie beside the figure: module and function ``(path without suffix, item, inputs, evidence)``,
#: the raw evidence of one sample for the classes shown, which gives the files written.
SAVE: dict[str, tuple[str, str]] = {
    "graphs": ("globalpool.report.draw_graphs", "save_graph"),
    "signals": ("globalpool.report.draw_signals", "save_signal"),
    "audio": ("globalpool.report.draw_audio", "save_recording"),
    "volumes": ("globalpool.report.draw_volumes", "save_volume"),
}


def draw(item: Any, inputs: InputKind, panels: Panels) -> "Figure":
    """A matplotlib figure of one sample and its evidence."""
    figure: Figure = _found(DRAW[inputs.kind])(item, inputs, panels)
    return figure


def save_drawing(path: Path, item: Any, inputs: InputKind, panels: Panels) -> None:
    """``draw``, written as a PNG; pictures at about their own width."""
    wide = item.pixels.shape[1] if inputs.kind == "pictures" else 0
    save_figure(draw(item, inputs, panels), path, wide)


def save_beside(path: Path, item: Any, inputs: InputKind, evidence: Evidence) -> list[Path]:
    """The files of this kind beside a figure; none for most."""
    if inputs.kind not in SAVE:
        return []
    files: list[Path] = _found(SAVE[inputs.kind])(path, item, inputs, evidence)
    return files


def _found(place: tuple[str, str]) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(import_module(place[0]), place[1])
    return function
