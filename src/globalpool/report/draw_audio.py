"""Evidence on a spectrogram: when and at which frequency, and how much of it each second."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from globalpool.data.audio import Recording
from globalpool.data.recordings import Recordings
from globalpool.errors import EvidenceError
from globalpool.evidence import Evidence
from globalpool.extras import need
from globalpool.report.figure import COLOURS
from globalpool.report.kinds import Panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Frequencies that are written at the axis, where they are in range (Hz).
MARKS = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000)
#: Share of the axis between two of them at least.
APART = 0.08
FOR, AGAINST = "#b2182b", "#2166ac"


@dataclass(frozen=True, eq=False)
class EvidenceInTime:
    """``edges (P + 1,)`` in seconds of the recording; ``values (F', P)`` float64: evidence in logit units."""

    edges: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def curve(self) -> NDArray[np.float64]:
        """Evidence of each stretch of time, over all frequencies, ``(P,)``: with the offset it adds up to the logit."""
        found: NDArray[np.float64] = self.values.sum(0)
        return found

    @property
    def per_second(self) -> NDArray[np.float64]:
        """The curve as a density, logits a second ``(P,)``: its area and the offset add up to the logit."""
        return self.curve / np.diff(self.edges)


def evidence_in_time(evidence: Evidence, item: Recording, inputs: Recordings) -> EvidenceInTime:
    """Evidence of one recording for one class, placed in its seconds."""
    if evidence.maps.ndim != 4 or evidence.maps.shape[:2] != (1, 1):
        expected = "evidence of one recording for one class (1, 1, F, T)"
        raise EvidenceError("evidence_in_time", expected, str(tuple(evidence.maps.shape)))
    first, stop = inputs.extent(inputs.spectrogram(item).present(inputs.silence))
    maps: NDArray[np.float64] = evidence.maps[0, 0].double().numpy(force=True)
    length = stop - first
    # Windows fill the last one up: their positions stand for more frames than there are.
    whole = length if inputs.frames is None else -(-length // inputs.frames) * inputs.frames
    edges = np.linspace(0, whole, maps.shape[1] + 1)
    there = edges[:-1] < length
    edges = np.append(edges[:-1][there], min(edges[there.sum()], length))
    return EvidenceInTime((first + edges) * inputs.frame_seconds, maps[:, there])


def draw_recording(item: Recording, inputs: Recordings, panels: Panels) -> "Figure":
    """The spectrogram, and for each panel its evidence over it and the evidence of each second below.

    All panels are on one scale, symmetric around zero; each position is drawn as large as it is, without
    interpolation. The area under a curve and the offset add up to the logit over the mean of all classes.
    """
    need("matplotlib", "images", "draw_recording")
    from matplotlib.figure import Figure

    found = inputs.spectrogram(item)
    decibels: NDArray[np.float64] = found.decibels.double().numpy()
    placed = []
    for evidence, _ in panels:
        if evidence.view == "raw":
            hint = "Use evidence.centered() or evidence.contrast(i, j)."
            got = "raw maps"
            raise EvidenceError("draw_recording", "evidence against something, with a meaning of zero", got, hint)
        placed.append(evidence_in_time(evidence, item, inputs))
    limit = max((float(np.abs(one.values).max()) for one in placed), default=0.0) or 1.0
    most = max((float(np.abs(one.per_second).max()) for one in placed), default=0.0) or 1.0
    figure = Figure((9, 2.2 + 2.7 * len(panels)), layout="constrained")
    ratios = [1.5, *(1.5, 1.0) * len(panels)]
    axes = figure.subplots(1 + 2 * len(panels), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    seconds = decibels.shape[1] * inputs.frame_seconds
    picture = axes[0].imshow(decibels, cmap="magma", aspect="auto", origin="lower", extent=_extent(decibels, seconds))
    figure.colorbar(picture, ax=axes[0], pad=0.01, label="dB")
    axes[0].set_title(f"{item.path.name}, {item.seconds:.2f} s", fontsize=9, parse_math=False)
    _mark(axes[0], inputs)
    for number, (one, (evidence, text)) in enumerate(zip(placed, panels, strict=True)):
        over, below = axes[1 + 2 * number : 3 + 2 * number]
        _draw_map(figure, over, decibels, one, inputs, limit)
        told = f"{text} = area {one.curve.sum():+.2f}, offset {float(evidence.offset):+.2f}"
        over.set_title(told.replace("\n", ", "), fontsize=9, parse_math=False)
        below.stairs(one.per_second.clip(min=0), one.edges, fill=True, color=FOR)
        below.stairs(one.per_second.clip(max=0), one.edges, fill=True, color=AGAINST)
        below.axhline(0, color="black", linewidth=0.5)
        below.set_ylim(-1.05 * most, 1.05 * most)
        below.set_ylabel("logits / s", fontsize=8)
    axes[-1].set_xlabel("seconds")
    axes[-1].set_xlim(0, seconds)
    for panel in axes:
        panel.tick_params(labelsize=8)
    return figure


def save_recording(path: Path, item: Recording, inputs: Recordings, evidence: Evidence) -> list[Path]:
    """A table beside the figure: begin and end of each stretch in seconds, its raw evidence for each class shown."""
    ids = evidence.classes[0].tolist()
    columns = [evidence_in_time(evidence.select(class_id), item, inputs) for class_id in ids]
    file = path.with_suffix(".csv")
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(("begin (seconds)", "end (seconds)", *(f"class {class_id}" for class_id in ids)))
        edges = columns[0].edges.tolist()
        table.writerows(zip(edges[:-1], edges[1:], *(one.curve.tolist() for one in columns), strict=True))
    return [file]


def _draw_map(
    figure: "Figure", axis: "Axes", decibels: NDArray[np.float64], one: EvidenceInTime, inputs: Recordings, limit: float
) -> None:
    """Evidence over the grey spectrogram: every band and frame takes the position that it belongs to."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bands, frames = decibels.shape
    middles = (np.arange(frames) + 0.5) * inputs.frame_seconds
    column = np.searchsorted(one.edges, middles, side="right") - 1
    inside = (column >= 0) & (column < one.values.shape[1])
    row = ((np.arange(bands) + 0.5) * (one.values.shape[0] / bands)).astype(int)
    values = np.where(inside, one.values[row][:, column.clip(0, one.values.shape[1] - 1)], 0.0)
    span = decibels.max() - decibels.min() or 1.0
    grey = (0.35 + 0.65 * (1 - (decibels - decibels.min()) / span))[..., None].repeat(3, axis=2)
    colours, scale = colormaps[COLOURS], Normalize(-limit, limit)
    strength = (np.abs(values) / limit).clip(0, 1)[..., None] ** 0.7
    mixed = (1 - strength) * grey + strength * colours(scale(values))[..., :3]
    extent = _extent(decibels, frames * inputs.frame_seconds)
    axis.imshow(mixed, aspect="auto", origin="lower", extent=extent, interpolation="nearest")
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=axis, pad=0.01)
    bar.set_label("logits per position", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    _mark(axis, inputs)


def _extent(decibels: NDArray[np.float64], seconds: float) -> tuple[float, float, float, float]:
    return 0.0, seconds, -0.5, decibels.shape[0] - 0.5


def _mark(axis: "Axes", inputs: Recordings) -> None:
    """Frequencies at the axis, where their bands lie."""
    centres = inputs.filters.centres
    places: dict[int, float] = {}
    for mark in (mark for mark in MARKS if centres[0] <= mark <= centres[-1]):
        place = float(np.interp(mark, centres, np.arange(len(centres))))
        if not places or place - max(places.values()) > APART * len(centres):
            places[mark] = place
    axis.set_yticks(list(places.values()), [f"{mark}" for mark in places])
    axis.set_ylabel("Hz", fontsize=8)
