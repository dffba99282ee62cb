"""Consistency without labels: alone it makes every picture the same, with a variance term it makes features.

    python examples/09_consistency.py figure.png

Two views of each digit are to give the same embedding. Invariance alone is content with one point for all; VICReg keeps
the embeddings apart. A linear layer on the frozen trunk then says what the features are worth.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import globalpool as gp
from globalpool.data.batch import Batch
from globalpool.training.objectives import VICReg
from globalpool.training.refit_at import refit_at

SIDE, UPDATES, BATCH = 14, 80, 32
ARMS = {"random trunk": None, "invariance alone": (25.0, 0.0, 0.0), "VICReg": (25.0, 25.0, 1.0)}


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    pictures, classes = gp.data.mnist_digits()
    order = np.random.default_rng(0).permutation(len(pictures))
    x = torch.from_numpy(pictures[order].astype(np.float32) / 255)[:, None]
    return torch.nn.functional.interpolate(x, (SIDE, SIDE), mode="area"), torch.from_numpy(classes[order])


def main(out: Path) -> None:
    x, y = digits()
    pretraining, test = x[:2000], slice(4500, 5000)
    labelled = [(x[rows], y[rows]) for rows in torch.arange(2000, 2500).split(100)]
    deviations: dict[str, list[float]] = {}
    accuracy = {}
    for arm, weights in ARMS.items():
        torch.manual_seed(0)
        classifier = gp.models.convnet(2, 1, 10, (16, 32, 64))
        if weights is not None:
            invariance, variance, covariance = weights
            objective = VICReg(
                64, (64, 64), invariance=invariance, variance=variance, covariance=covariance, collapse=0.0
            )  # collapse=0: here it shall be seen, not stopped
            optimiser = torch.optim.AdamW([*classifier.parameters(), *objective.parameters()], lr=3e-3)
            random = torch.Generator().manual_seed(0)
            for _ in range(UPDATES):
                rows = torch.randint(0, len(pretraining), (BATCH,), generator=random)
                optimiser.zero_grad()
                objective(classifier, Batch((pretraining[rows],), y[rows], rows), random).value.backward()
                optimiser.step()
                deviations.setdefault(arm, []).append(objective.deviation)
        probe = refit_at(classifier, labelled, SIDE, "logistic").classifier
        with torch.no_grad():
            accuracy[arm] = float((probe(x[test]).argmax(1) == y[test]).float().mean())
        last = f", deviation of the embeddings {deviations[arm][-1]:.3f}" if weights else ""
        print(f"{arm:17} linear probe on 500 labels: {accuracy[arm]:.3f}{last}")
    assert deviations["invariance alone"][-1] < 0.1 < deviations["VICReg"][-1]
    assert accuracy["VICReg"] > accuracy["random trunk"] + 0.05

    figure = Figure((9, 3.4), layout="constrained")
    curves, bars = figure.subplots(1, 2)
    for name, of in deviations.items():
        curves.plot(of, label=name)
    curves.set_yscale("log")
    curves.set_xlabel("updates")
    curves.set_ylabel("deviation of the embeddings")
    curves.legend(frameon=False)
    bars.bar(list(accuracy), list(accuracy.values()), color=["gray", "tab:blue", "tab:orange"])
    bars.axhline(0.1, color="black", linewidth=0.8)
    bars.set_ylabel("held-out accuracy of a linear probe")
    bars.set_ylim(0, 1)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "09_consistency.png"))
