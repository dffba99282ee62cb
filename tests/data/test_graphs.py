"""Files of graphs: what is read, what a node is told, and what is refused."""

import re
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from globalpool.data.graphs import Graphs
from globalpool.data.kinds import kind_of, read_inputs
from globalpool.data.molecules import read_smiles, ring_systems
from globalpool.data.solubility import solubility
from globalpool.data.tables import read_examples
from globalpool.errors import DataError
from tests.data.graph_sources import plain_graphs, sdf, smiles_table


def prepared(inputs: Graphs, path: Path) -> Any:
    return inputs.prepare(inputs.read(path))


def test_molecules_of_a_table_with_the_broken_ones_left_out_by_line(tmp_path: Path) -> None:
    file = smiles_table(tmp_path)
    assert kind_of(file) is Graphs
    data = read_examples(file, Graphs)
    assert [example.path.name for example in data.examples] == [f"molecules.csv#{n}" for n in (2, 3, 5, 7, 8, 9, 10)]
    assert data.classes == ("no", "yes")
    assert [example.labels[0] for example in data.examples] == [1, 0, 1, 0, 0, 0, 1]
    assert [example.size for example in data.examples] == [(3,), (6,), (1,), (4,), (4,), (6,), (2,)]
    assert data.left_out == (
        (f"{file}, line 4", "expected a molecule as SMILES; got 'C1CC'"),
        (
            f"{file}, line 6",
            "expected a molecule whose valences and rings add up; got Explicit valence for atom # 1 N, 4, is greater "
            "than permitted",
        ),
    )
    # Mirror images are two molecules with one graph: both stay, and never part.
    left, right = data.examples[3:5]
    assert left.content != right.content
    assert left.group == right.group


def test_what_an_atom_and_a_bond_are_told(tmp_path: Path) -> None:
    data = read_examples(smiles_table(tmp_path), Graphs)
    inputs = Graphs.planned([example.path for example in data.examples], {})
    assert inputs.vocabulary == ("Br", "C", "Cl", "F", "Na", "O")
    assert inputs.channels == len(inputs.columns) == 6 + 1 + 8

    def told(row: torch.Tensor) -> set[str]:
        return {f"{name} {value:g}" for name, value in zip(inputs.columns, row.tolist(), strict=True) if value}

    ethanol = prepared(inputs, data.examples[0].path)
    assert [told(row) for row in ethanol.x] == [
        {"C 1", "3 hydrogens 1"},
        {"C 1", "2 hydrogens 1"},
        {"O 1", "1 hydrogen 1"},
    ]
    assert ethanol.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert ethanol.edge_attr.tolist() == [[1, 0, 0, 0]] * 4
    benzene = prepared(inputs, data.examples[1].path)
    assert all(told(row) == {"C 1", "1 hydrogen 1", "aromatic 1", "in ring 1"} for row in benzene.x)
    assert benzene.edge_attr.tolist() == [[0, 0, 0, 1]] * 12
    salt = prepared(inputs, data.examples[6].path)
    assert [told(row) for row in salt.x] == [
        {"Na 1", "0 hydrogens 1", "charge 1"},
        {"Cl 1", "0 hydrogens 1", "charge -1"},
    ]
    assert salt.edge_index.shape == (2, 0)
    other = tmp_path / "other.smi"
    other.write_text("CN amine\n", encoding="utf-8")
    assert told(prepared(inputs, other).x[1]) == {"other 1", "2 hydrogens 1"}


def test_an_sdf_keeps_hydrogens_with_their_atoms_and_knows_its_class(tmp_path: Path) -> None:
    file = sdf(tmp_path)
    data = read_examples(file, Graphs)
    assert data.classes == ("a", "b")
    assert [example.size for example in data.examples] == [(3,), (7,), (4,)]  # without hydrogens
    assert Graphs.find([file]).files == tuple(tmp_path / f"molecules.sdf#{n}" for n in (1, 2, 3))
    assert data.examples[0].content == read_examples(smiles_table(tmp_path), Graphs).examples[0].content


def test_plain_graphs_are_those_that_networkx_builds(tmp_path: Path) -> None:
    file = plain_graphs(tmp_path)
    assert kind_of(file) is Graphs
    data = read_examples(file, Graphs)
    inputs = Graphs.planned([example.path for example in data.examples], {})
    assert (inputs.nodes, inputs.vocabulary) == ("tags", ("0", "1", "5"))
    expected = (networkx.path_graph(3), networkx.empty_graph(1), networkx.cycle_graph(4))
    for example, graph in zip(data.examples, expected, strict=True):
        own = prepared(inputs, example.path)
        assert {tuple(pair) for pair in own.edge_index.T.tolist()} == set(graph.to_directed().edges)
        assert own.num_nodes == len(graph)
    assert prepared(inputs, data.examples[0].path).x.argmax(1).tolist() == [0, 1, 0]


@pytest.mark.parametrize("seed", range(3))
def test_graphs_that_message_passing_cannot_tell_apart_are_one_group(tmp_path: Path, seed: int) -> None:
    graph = networkx.gnp_random_graph(9, 0.3, seed=seed)
    order = np.random.default_rng(seed).permutation(9).tolist()
    again = networkx.relabel_nodes(graph, dict(enumerate(order)))
    # Two triangles and a ring of six look alike to every node of theirs.
    rings = networkx.disjoint_union(networkx.cycle_graph(3), networkx.cycle_graph(3)), networkx.cycle_graph(6)
    lines = ["4"]
    for number, one in enumerate((graph, again, *rings)):
        lines.append(f"{len(one)} {number % 2}")
        for node in range(len(one)):
            beside = sorted(one.neighbors(node))
            lines.append(" ".join(map(str, (one.degree(node) if number < 2 else 0, len(beside), *beside))))
    data = read_examples(plain_graphs(tmp_path, "\n".join(lines)), Graphs)
    first, second, third, fourth = (example.group for example in data.examples)
    assert first == second != third == fourth


def test_nodes_without_features_are_told_their_degree_or_a_constant(tmp_path: Path) -> None:
    file = plain_graphs(tmp_path, "2\n3 a\n7 1 1\n7 2 0 2\n7 1 1\n4 b\n7 3 1 2 3\n7 1 0\n7 1 0\n7 1 0\n")
    paths = [example.path for example in read_examples(file, Graphs).examples]
    degrees = Graphs.planned(paths[:1], {})
    assert degrees == Graphs("degrees", (), 2)
    assert prepared(degrees, paths[0]).x.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]
    assert prepared(degrees, paths[1]).x[0].tolist() == [0, 0, 0, 1]  # more than any in training
    constant = Graphs.planned(paths, {"nodes": "constant"})
    assert prepared(constant, paths[0]).x.tolist() == [[1], [1], [1]]
    for inputs in (degrees, constant):
        assert read_inputs(inputs.record()) == inputs
        (batch,) = inputs.stand_in()
        assert batch.x.shape[1] == inputs.channels


def test_attributes_follow_the_tags(tmp_path: Path) -> None:
    file = plain_graphs(tmp_path, "2\n2 a\n0 1 1 0.5 2\n1 1 0 -1 3\n1 b\n0 0 7 8\n")
    paths = [example.path for example in read_examples(file, Graphs).examples]
    inputs = Graphs.planned(paths, {})
    assert inputs.channels == 2 + 1 + 2
    assert prepared(inputs, paths[0]).x.tolist() == [[1, 0, 0, 0.5, 2], [0, 1, 0, -1, 3]]


def test_a_batch_holds_graphs_of_every_size_one_after_the_other(tmp_path: Path) -> None:
    data = read_examples(plain_graphs(tmp_path), Graphs)
    inputs = Graphs.planned([example.path for example in data.examples], {})
    samples = [prepared(inputs, example.path) for example in data.examples]
    (batch,) = inputs.collate(samples)
    assert batch.ptr.tolist() == [0, 3, 4, 8]
    assert_close(batch.x, torch.cat([sample.x for sample in samples]))
    assert [inputs.size(sample) for sample in samples] == [(3,), (1,), (4,)]


def test_the_packaged_solubility_has_its_own_split() -> None:
    data = solubility()
    assert data.classes == ("(A) low", "(B) medium", "(C) high")
    parts = [example.part for example in data.examples]
    assert (parts.count("train"), parts.count("test")) == (1024, 256)
    # One molecule is in both parts, with two labels.
    assert data.left_out == (
        ("solubility.train.sdf#257", "the same graph in (B) medium and (C) high"),
        ("solubility.test.sdf#64", "the same graph in (B) medium and (C) high"),
    )


def test_ring_systems_are_fused_rings_and_the_pieces_between() -> None:
    naphthyl = read_smiles("here", "CCc1ccc2ccccc2c1OC1CC1")
    assert ring_systems(naphthyl) == [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 3, 3]


FORM = "Line 1: the number of graphs. Of each graph"
WRONG: list[tuple[str, str, str]] = [
    ("graphs.txt", "2\n1 a\n0 0\n", "line 4: expected a graph's `nodes label`; got the end of the file. " + FORM),
    ("graphs.txt", "1\n2 a\n0 1 1\n0 1 2\n", "line 4: expected `tag count neighbours...` with neighbours 0 to 1"),
    ("graphs.txt", "1\n1 a\n0 0\n1 b\n", "graphs.txt, line 4: expected the end after 1 graphs; got more lines."),
    ("graphs.txt", "2\n1 a\n0 0\n1 a\n1 0\n", "graphs.txt: expected labels of at least two classes; got only a. Add"),
    ("a.csv", "smiles,label\nCC\n", "a.csv, line 2: expected 2 cells, as in the header; got 1. Put a cell"),
    ("a.csv", "smiles,label\nCC,\n", "a.csv, line 2: expected a label; got an empty cell."),
    ("a.csv", "smiles,name\nCC,x\n", "a.csv, line 2: expected a label; got none. A column label or class; of an SDF"),
    ("a.csv", "smiles,label,split\nCC,a,new\n", "a.csv, line 2: expected a split named train, val or test; got 'new'."),
    ("a.csv", "smiles,label\nCC,1.5\nCCC,2.5\nC,2.7\n", "a.csv: expected labels that name classes; got 3"),
    ("a.pt", "x", "a.pt: expected a file of graphs that holds data alone; got a pickle of PyTorch. Opening"),
    ("a.sdf", "  \n", "a.sdf: expected a file of graphs; got an empty file. SDF, a CSV with a column smiles"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), WRONG, ids=[case[2][:50] for case in WRONG])
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(message)):
        Graphs.read_examples(tmp_path / name)


def test_one_graph_must_be_named_among_many(tmp_path: Path) -> None:
    file = plain_graphs(tmp_path)
    inputs = Graphs("degrees", (), 2)
    message = (
        "graphs.txt: expected one graph; got a file of 3. Name one as graphs.txt#1, or the file itself where all are"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        inputs.read(file)
    message = "expected a graph with the number 9 in graphs.txt; got none; it has 1 to 3."
    with pytest.raises(DataError, match=re.escape(message)):
        inputs.read(tmp_path / "graphs.txt#9")
    message = "expected a molecule, as in training; got a plain graph."
    with pytest.raises(DataError, match=re.escape(message)):
        Graphs("atoms", ("C",)).read(tmp_path / "graphs.txt#1")
    for settings, message in (
        ({"node": "x"}, "--inputs: expected nodes=... of graphs; got node."),
        ({"nodes": "atoms"}, "--inputs: expected nodes as one of atoms, tags, degrees, constant; got nodes=atoms for"),
    ):
        with pytest.raises(DataError, match=re.escape(message)):
            Graphs.planned([tmp_path / "graphs.txt#1"], settings)
