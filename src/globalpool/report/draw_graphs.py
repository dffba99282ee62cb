"""A graph coloured by its evidence: a molecule by RDKit, any other by a layout of networkx."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from globalpool.data.graph_items import Graph
from globalpool.data.graphs import Graphs
from globalpool.errors import EvidenceError
from globalpool.evidence import Evidence
from globalpool.extras import need
from globalpool.report.figure import COLOURS
from globalpool.report.kinds import Panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = NDArray[np.float64]
PANEL_INCHES, PANEL_PIXELS, MOST_ACROSS = 3.6, 720, 4
#: Radius of an atom's disc, in bond lengths of RDKit's drawing.
RADIUS = 0.36


def draw_graph(item: Graph, inputs: Graphs, panels: Panels) -> "Figure":
    """The graph, then for each panel its nodes in the colours of their evidence, all panels on one scale.

    Evidence is in logits a node; that of all nodes and the offset add up to the logit over the mean of all classes.
    """
    need("matplotlib", "graphs", "draw_graph")
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    values = [node_values(item, evidence) for evidence, _ in panels]
    limit = max((float(np.abs(own).max(initial=0)) for own in values), default=0.0) or 1.0
    colours, scale = colormaps[COLOURS], Normalize(-limit, limit)
    count = 1 + len(panels)
    across = min(count, MOST_ACROSS)
    down = -(-count // across)
    figure = Figure((PANEL_INCHES * across + 1, PANEL_INCHES * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    places = None if item.molecule is not None else _places(item)
    name = "".join(mark for mark in item.name if mark.isprintable())[:40]
    title = f"{name or item.path.name}\n{len(item.tags)} {'atoms' if item.molecule is not None else 'nodes'}"
    for panel, own, text in zip(axes, [None, *values], [title, *(text for _, text in panels)], strict=False):
        shown = None if own is None else colours(scale(own))[:, :3]
        if item.molecule is not None:
            panel.imshow(_molecule(item.molecule, shown))
        else:
            _plain(panel, item, places, shown)
        panel.set_title(text, fontsize=9, parse_math=False)
    for panel in axes:
        panel.set_axis_off()
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=list(axes), fraction=0.03, pad=0.01)
    word = "atom" if item.molecule is not None else "node"
    bar.set_label(f"evidence, logits per {word}\nblue: against    red: for", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def save_graph(path: Path, item: Graph, inputs: Graphs, evidence: Evidence) -> list[Path]:
    """A table: number and tag of each node, and its raw evidence for each class shown."""
    classes = evidence.classes[0].tolist()
    columns = [node_values(item, evidence.select(class_id)) for class_id in classes]
    text = io.StringIO(newline="")
    table = csv.writer(text)
    word = "atom" if item.molecule is not None else "node"
    table.writerow([word, "element" if item.molecule is not None else "tag", *(f"class {one}" for one in classes)])
    for node, tag in enumerate(item.tags):
        table.writerow([node, tag, *(f"{column[node]:.9g}" for column in columns)])
    target = path.with_name(path.name + ".csv")
    target.write_text(text.getvalue(), encoding="utf-8", newline="")
    return [target]


def node_values(item: Graph, evidence: Evidence) -> Values:
    """One number a node, ``(T,)``, of evidence of one graph for one class."""
    if evidence.maps.shape != (len(item.tags), 1):
        expected = f"evidence of the {len(item.tags)} nodes of one graph for one class"
        hint = "After a pooling of nodes, lay it on the graph's own: classifier.trunk.levels(data).spread(maps)."
        raise EvidenceError("draw_graph", expected, f"{tuple(evidence.maps.shape)}", hint)
    found: Values = evidence.maps[:, 0].detach().double().numpy(force=True)
    return found


def _molecule(molecule: Any, colours: Values | None) -> NDArray[np.uint8]:
    """RDKit's drawing, ``(H, W, 3)``; discs of the given colours ``(T, 3)`` behind the atoms."""
    drawing = need("rdkit.Chem.Draw.rdMolDraw2D", "graphs", "draw_graph")
    drawer = drawing.MolDraw2DCairo(PANEL_PIXELS, PANEL_PIXELS)
    options = drawer.drawOptions()
    options.useBWAtomPalette()
    options.padding = 0.08
    options.highlightBondWidthMultiplier = 1
    options.fillHighlights, options.circleAtoms = True, True
    given: dict[str, Any] = {}
    if colours is not None:
        atoms = range(len(colours))
        given = {
            "highlightAtoms": list(atoms),
            "highlightAtomColors": {i: tuple(float(part) for part in colours[i]) for i in atoms},
            "highlightAtomRadii": dict.fromkeys(atoms, RADIUS),
            "highlightBonds": [],
        }
    drawing.PrepareAndDrawMolecule(drawer, molecule, **given)
    drawer.FinishDrawing()
    return np.asarray(Image.open(io.BytesIO(drawer.GetDrawingText())).convert("RGB"))


def _places(item: Graph) -> Values:
    """Where nodes are drawn, ``(T, 2)``: each connected piece by springs, pieces side by side."""
    networkx = need("networkx", "graphs", "draw_graph")
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(item.tags)))
    graph.add_edges_from(item.edges.T.tolist())
    spots = networkx.spring_layout(graph, seed=0, iterations=200) if len(item.tags) else {}
    return np.array([spots[node] for node in range(len(item.tags))], dtype=np.float64).reshape(-1, 2)


def _plain(panel: Any, item: Graph, places: Values | None, colours: Values | None) -> None:
    assert places is not None
    for first, second in item.edges.T[item.edges[0] < item.edges[1]]:
        panel.plot(*places[[first, second]].T, color="grey", linewidth=0.8, zorder=1)
    size = float(np.clip(9000 / max(len(places), 1), 12, 220))
    shown: Any = "lightgrey" if colours is None else colours
    panel.scatter(*places.T, s=size, c=shown, edgecolors="black", linewidths=0.5, zorder=2)
    if len(places) <= 60 and _told(item.tags):
        for (x, y), tag in zip(places, item.tags, strict=True):
            panel.text(x, y, tag, fontsize=7, ha="center", va="center", zorder=3, parse_math=False)
    panel.set_aspect("equal")
    panel.margins(0.1)


def _told(tags: Sequence[str]) -> bool:
    """Whether tags tell nodes apart, and are short enough to be written on them."""
    return len(set(tags)) > 1 and max(map(len, tags)) <= 3
