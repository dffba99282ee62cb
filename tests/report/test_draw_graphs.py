"""Drawings of graphs: colours that are the evidence, tables that add up to the logit."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import colormaps

import globalpool as gp
from globalpool.data.graphs import Graphs
from globalpool.errors import EvidenceError
from globalpool.report.kinds import draw, save_beside
from tests.data.graph_sources import plain_graphs, smiles_table


def case(file: Path, number: int) -> tuple[Any, Graphs, Any]:
    """Item, inputs and raw evidence of one graph for both classes, of a network with random numbers."""
    data = Graphs.read_examples(file)
    assert data is not None
    inputs = Graphs.planned([example.path for example in data.examples], {})
    torch.manual_seed(0)
    network = gp.models.gin(inputs.channels, 2, (8, 8)).eval()
    item = inputs.read(data.examples[number].path)
    (batch,) = inputs.collate([inputs.prepare(item)])
    return item, inputs, network.evidence(batch, "all").check().detach()


def pixels(figure: Any, panel: int) -> np.ndarray:
    """What a panel shows, as drawn by RDKit."""
    return np.asarray(figure.axes[panel].images[0].get_array())


def test_atoms_of_a_molecule_have_the_colours_of_their_evidence(tmp_path: Path) -> None:
    item, inputs, evidence = case(smiles_table(tmp_path), 1)
    centred = evidence.centered()
    figure = draw(item, inputs, [(centred.select(k), f"class {k}") for k in range(2)])
    assert [panel.get_title() for panel in figure.axes[:3]] == ["benzene\n6 atoms", "class 0", "class 1"]
    plain, shown = pixels(figure, 0), pixels(figure, 1)
    assert (np.ptp(plain.astype(int), axis=2) < 12).all()  # no colour without evidence
    # All six atoms of benzene are alike, and the strongest on the scale.
    sign = float(torch.sign(centred.maps[0, 0]))
    expected = np.array(colormaps["RdBu_r"](0.5 + 0.5 * sign)[:3]) * 255
    near = np.abs(shown.astype(float) - expected).max(2) < 3
    assert 0.01 < near.mean() < 0.3
    opposite = np.array(colormaps["RdBu_r"](0.5 - 0.5 * sign)[:3]) * 255
    assert (np.abs(pixels(figure, 2).astype(float) - opposite).max(2) < 3).mean() == pytest.approx(
        near.mean(), rel=0.02
    )
    figure.savefig(tmp_path / "molecule.png")


def test_nodes_of_a_plain_graph_have_the_colours_of_their_evidence(tmp_path: Path) -> None:
    item, inputs, evidence = case(plain_graphs(tmp_path), 2)
    centred = evidence.centered()
    figure = draw(item, inputs, [(centred.select(0), "class 0")])
    values = centred.maps[:, 0].double().numpy()
    limit = np.abs(values).max()
    spots: Any = figure.axes[1].collections[0]
    assert np.allclose(spots.get_facecolors()[:, :3], colormaps["RdBu_r"](0.5 + 0.5 * values / limit)[:, :3])
    assert len(figure.axes[1].lines) == 4  # the ring's edges, each once
    figure.savefig(tmp_path / "graph.png")


def test_the_table_beside_adds_up_to_the_logits(tmp_path: Path) -> None:
    for file, number, heads in (
        (smiles_table(tmp_path), 0, ["atom", "element"]),
        (plain_graphs(tmp_path), 0, ["node", "tag"]),
    ):
        item, inputs, evidence = case(file, number)
        (table,) = save_beside(tmp_path / "a.name#2", item, inputs, evidence)
        assert table.name == "a.name#2.csv"
        header, *rows = csv.reader(table.read_text(encoding="utf-8").splitlines())
        assert header == [*heads, "class 0", "class 1"]
        assert tuple(row[1] for row in rows) == item.tags
        summed = np.array([[float(cell) for cell in row[2:]] for row in rows]).sum(0) + evidence.offset[0].numpy()
        assert np.allclose(summed, evidence.logits[0].numpy(), atol=1e-6)


def test_evidence_of_other_nodes_is_refused(tmp_path: Path) -> None:
    item, inputs, _ = case(plain_graphs(tmp_path), 0)
    _, _, other = case(plain_graphs(tmp_path), 2)
    message = "draw_graph: expected evidence of the 3 nodes of one graph for one class; got (4, 1). After a pooling of"
    with pytest.raises(EvidenceError, match=re.escape(message)):
        draw(item, inputs, [(other.centered().select(0), "class 0")])
