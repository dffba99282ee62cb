"""Federated clients of different resolutions: one head for 16, 24 and 40 pixels, exact in one round.

    python examples/03_federated.py figure.png

Three clients hold other digits at other resolutions, two thirds of each one's of classes of its own. The trunk is
frozen (random weights), so the last layer follows from sums that add up over clients: no picture, no vector and no
weight travels, and the head is that of all data in one place. With Sum in place of Mean the finest resolution
decides, at the cost of the coarsest. The left panel shows each client's share under each rule of aggregation.
"""

import functools
import operator
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

import globalpool as gp
from globalpool import federated
from globalpool.data.mnist import mnist_digits, split_sources
from globalpool.surgery import collect

Data = list[tuple[Tensor, Tensor]]
SIDES, COUNTS = (16, 24, 40), (400, 400, 400)


def digits(rows: Tensor, side: int) -> Data:
    """Batches of digits ``rows`` at ``side`` pixels."""
    pictures, classes = (torch.tensor(part) for part in mnist_digits())
    x = functional.interpolate(pictures[rows, None].float() / 255, (side, side), mode="bilinear", antialias=True)
    return list(zip(x.split(100), classes[rows].split(100), strict=True))


def clients() -> list[Data]:
    """No digit has two owners."""
    rows = torch.tensor(split_sources("train"))
    owner = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])[torch.tensor(mnist_digits()[1])[rows]]
    random = torch.rand(len(rows), generator=torch.Generator().manual_seed(0))
    owner = torch.where(random < 0.5, owner, (random * 1000).long() % 3)
    return [digits(rows[owner == k][:count], side) for k, (count, side) in enumerate(zip(COUNTS, SIDES, strict=True))]


def federate(pool: gp.Pool, parts: list[Data]) -> gp.PooledClassifier:
    """Each client sends the sums of its pooled vectors; their sum is all that the server sees."""
    torch.manual_seed(0)
    classifier = gp.models.convnet(2, 1, 10, (16, 64, 256), pool).eval()
    reference = collect(classifier, parts[0][:1]).mean  # one public batch would do as well
    uploads = [federated.AdditiveStatistics.of(collect(classifier, part), reference) for part in parts]
    gp.fit_head(classifier, functools.reduce(operator.add, uploads).statistics())  # penalty by gcv
    model = federated.size_in_bytes(federated.parameters_of(classifier))
    fc = 4 * (256 * 10**2 + 1) * 10  # flatten + FC at 40 px: a map of 10 x 10
    print(f"{type(pool).__name__:5} sends {uploads[0].bytes:,} bytes once; weights {model:,} a round; FC head {fc:,}")
    return classifier


@torch.inference_mode()
def accuracies(classifier: gp.PooledClassifier, held_out: list[Data]) -> list[float]:
    right = [torch.cat([classifier(x).argmax(1) == y for x, y in part]) for part in held_out]
    return [float(one.float().mean()) for one in right]


def main(out: Path) -> None:
    parts, held_out = clients(), [digits(torch.tensor(split_sources("test"))[:500], side) for side in SIDES]
    together = federate(gp.Mean(), parts)
    rows = {"federated, Mean": accuracies(together, held_out)}
    rows["federated, Sum"] = accuracies(federate(gp.Sum(), parts), held_out)
    sent = federated.parameters_of(together)["tail.weight"]
    gp.fit_head(together, [batch for part in parts for batch in part], "ridge", "gcv")  # all data in one place
    torch.testing.assert_close(federated.parameters_of(together)["tail.weight"], sent, rtol=0, atol=1e-6)

    alone = [federate(gp.Mean(), [part]) for part in parts]
    rows["each client alone"] = [accuracies(one, [own])[0] for one, own in zip(alone, held_out, strict=True)]
    assert rows["federated, Sum"][0] < rows["federated, Mean"][0]
    for name, row in rows.items():
        print(f"{name:18}" + "".join(f"  {side} px {value:.3f}" for side, value in zip(SIDES, row, strict=True)))
    shares = {"per client": federated.per_client(3), "per position": federated.per_position([16, 36, 100])}
    shares["best linear"] = federated.best_linear_unbiased(1 / torch.tensor([16, 36, 100]), 0.02)
    shares["mean of sums"] = federated.sums_of_clients([16, 36, 100]) * 3 / (16 + 36 + 100)

    figure = Figure((9.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, side in enumerate(SIDES):
        ends = [(float(share[:k].sum()), float(share[k])) for share in shares.values()]
        left.barh(list(shares), [end[1] for end in ends], left=[end[0] for end in ends], label=f"{side} px")
    left.set_xlabel("share of each client")
    for number, (name, row) in enumerate(rows.items()):
        right.bar([place + 0.27 * number for place in range(3)], row, 0.25, label=name)
    right.set_xticks([0.27, 1.27, 2.27], [f"{side} px" for side in SIDES])
    right.set_title("accuracy, 500 held-out digits", y=-0.22, fontsize=10)
    for panel in (left, right):
        panel.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1), fontsize=8)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "03_federated.png"))
