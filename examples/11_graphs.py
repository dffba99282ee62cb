"""Graphs: what a mean and a sum keep, and which atoms make a molecule dissolve.

    python examples/11_graphs.py figure.png

A graph beside its copy has the same mean and twice the sum. With nothing but constants at the nodes, means of
neighbours read out by a mean are the same for every graph. A small GIN learns three classes of solubility; then every
atom has its evidence, in logits, and the atoms of a ring or of a chain together have theirs.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GINConv

import globalpool as gp
from globalpool.data.graphs import Graphs
from globalpool.data.molecules import ring_systems
from globalpool.data.solubility import solubility
from globalpool.evidence import cluster_evidence
from globalpool.models import GraphTrunk, gin
from globalpool.report.draw_graphs import draw_graph


def copies_and_constants() -> None:
    ring = torch.stack([torch.arange(6), torch.arange(6).roll(1)])
    one = Data(x=torch.rand(6, 4), edge_index=torch.cat([ring, ring.flip(0)], 1))
    both = Batch.from_data_list([one, one])
    two = Data(x=both.x, edge_index=both.edge_index)
    for pool, factor in ((gp.Mean(), 1), (gp.Sum(), 2)):
        network = gin(4, 2, (8, 8), pool).eval()
        torch.testing.assert_close(network.pooled(two), factor * network.pooled(one))
    ends = [torch.tensor([[0] * (n - 1), [*range(1, n)]]) for n in (3, 5, 9)]
    stars = [Data(x=torch.ones(e.shape[1] + 1, 1), edge_index=torch.cat([e, e.flip(0)], 1)) for e in ends]
    data = Batch.from_data_list(stars)
    for aggregation in ("mean", "sum"):
        trunk = GraphTrunk([GINConv(nn.Linear(1, 4), aggr=aggregation)], (4,)).eval()
        with torch.no_grad():
            vectors = gp.PooledClassifier(trunk, gp.Mean(), nn.Identity())(data)
        print(f"constants, {aggregation} of neighbours, mean readout: {float(vectors.std(0).max()):.4f} between stars")
        assert (vectors.std(0).max() < 1e-6) == (aggregation == "mean")


def main(out: Path) -> None:
    torch.manual_seed(0)
    copies_and_constants()
    data = solubility()
    rows: dict[str, list[int]] = {"train": [], "test": []}
    for number, example in enumerate(data.examples):
        rows[example.part or "train"].append(number)
    inputs = Graphs.planned([data.examples[i].path for i in rows["train"]], {})
    items = [inputs.read(example.path) for example in data.examples]
    graphs = [inputs.prepare(item) for item in items]
    y = torch.tensor([example.labels[0] for example in data.examples])
    order = np.random.default_rng(0).permutation(rows["train"]).tolist()
    pieces = [order[start : start + 128] for start in range(0, len(order), 128)]
    batches = [(Batch.from_data_list([graphs[i] for i in piece]), y[piece]) for piece in pieces]
    classifier = gin(inputs.channels, 3, (32, 32, 32), labels=data.classes)
    optimiser = torch.optim.AdamW(classifier.parameters(), lr=0.01)
    for _ in range(12):
        for batch, labels in batches:
            optimiser.zero_grad()
            nn.functional.cross_entropy(classifier(batch), labels).backward()
            optimiser.step()
    classifier.eval()
    (test,) = inputs.collate([graphs[i] for i in rows["test"]])
    evidence = classifier.evidence(test, "all").check().detach()
    truth = y[rows["test"]]
    right = evidence.logits.argmax(1) == truth
    print(f"{len(right)} molecules held out: {float(right.double().mean()):.3f} right, {evidence.kind} evidence")
    assert right.double().mean() > 0.65
    # A molecule that is right, in three pieces, whose atoms disagree most about its class.
    spread = np.zeros(len(right))
    for place in right.nonzero().flatten().tolist():
        if len(set(ring_systems(items[rows["test"][place]].molecule))) == 3:
            spread[place] = float(evidence.centered().maps[test.batch == place, truth[place]].std())
    item = items[rows["test"][int(spread.argmax())]]
    (batch,) = inputs.collate([inputs.prepare(item)])
    own = torch.tensor(ring_systems(item.molecule))
    with torch.no_grad():
        atoms = classifier.evidence(batch, "all").check().centered()
        x = classifier.features(batch)  # a mean of clusters by mass is the mean
        pool = gp.Clusters(weighting="mass")
        together = cluster_evidence(pool, classifier.tail, x, "all", batch=batch.batch, assignment=own).centered()
    print(f"{item.name}: ring systems and chains, and the logit over the mean of all classes")
    for k, name in enumerate(data.classes):
        given = ", ".join(f"{value:+.2f}" for value in together.maps[0, k].tolist())
        print(f"  {name}: {given}, offset {float(atoms.offset[0, k]):+.2f}; {float(atoms.logits[0, k]):+.2f}")
    summed = torch.zeros(together.maps.shape[2], 3).index_add(0, own, atoms.maps)
    torch.testing.assert_close(summed.T, together.maps[0], rtol=1e-4, atol=1e-5)
    panels = [(atoms.select(k), f"{name}: {atoms.logits[0, k]:+.2f} logits") for k, name in enumerate(data.classes)]
    draw_graph(item, inputs, panels).savefig(out, dpi=80)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "11_graphs.png"))
