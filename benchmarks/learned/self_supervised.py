"""Features from pictures without labels against random ones, under a linear probe.

    python benchmarks/learned/self_supervised.py [--seeds 0 1 ...] [--quick]

VICReg on 2,000 digits of 14 x 14 pixels without labels, 400 updates of 64 pictures in two strong views; a convnet of
widths 16, 32, 64 with Mean. Then the trunk is frozen, its batch statistics estimated and a linear layer fitted by
logistic regression on 500 labelled digits (50 a class); 1,000 held out. Arms: random trunk; VICReg. Ablated control:
the invariance term alone, whose embeddings collapse (the guard is set off so that it can be seen). Sanity: VICReg on
pairs of DIFFERENT pictures. Settings were chosen before any run of seeds 0 to 4. Expected, and fixed before: VICReg -
random has its interval above 0; the deviation of VICReg's embeddings stays above 0.1, that of invariance alone falls
below 0.01.
Each run is a line of results/learned_self_supervised.jsonl; those that are there are not done again.
"""

from functools import partial

import torch
from study import Study, TensorBatches, balanced, column, differences, digits, interval, judged, shown
from torch import Tensor

import globalpool as gp
from globalpool.training import TrainingSettings, train
from globalpool.training.objectives import VICReg
from globalpool.training.refit_at import refit_at

SIDE, BATCH = 14, 64
ARMS = ("random", "VICReg", "invariance alone", "VICReg, mismatched")


class Mismatched(VICReg):
    """Every second view is that of another picture."""

    calls = 0

    def _embedded(self, classifier: gp.PooledClassifier, parts: tuple[Tensor, ...], random: torch.Generator) -> Tensor:
        self.calls += 1
        return super()._embedded(classifier, tuple(part.roll(self.calls % 2, 0) for part in parts), random)


def run(arm: str, seed: int, updates: int) -> dict[str, float]:
    random = torch.Generator().manual_seed(seed)
    x, y = digits("train", SIDE)
    rows = torch.randperm(len(x), generator=random)[:2000]
    torch.manual_seed(seed)
    classifier = gp.models.convnet(2, 1, 10, (16, 32, 64))
    found = {}
    if arm != "random":
        if arm == "invariance alone":
            objective = VICReg(64, (128, 128), variance=0.0, covariance=0.0, collapse=0.0)
        else:
            objective = (Mismatched if "mismatched" in arm else VICReg)(64, (128, 128))
        settings = TrainingSettings(epochs=1, learning_rate=3e-3, seed=seed)
        train(classifier, TensorBatches(x[rows], y[rows], BATCH, updates, seed), None, settings, objective=objective)
        found["deviation"] = objective.deviation
    labelled = balanced(y, 50, random)
    labelled = labelled[torch.randperm(len(labelled), generator=random)]
    loader = [(x[part], y[part]) for part in labelled.split(100)]
    probe = refit_at(classifier, loader, SIDE, "logistic").classifier
    accuracy, nll = judged(probe, *digits("test", SIDE))
    with torch.no_grad():
        vectors = probe.pool(probe.features(digits("test", SIDE)[0]))
        centred = vectors - vectors.mean(0)
        values = torch.linalg.eigvalsh(centred.T @ centred / len(centred)).clamp(min=0)
    rank = float(values.sum().square() / values.square().sum())
    return {"accuracy": accuracy, "nll": nll, "participation_ratio": rank, **found}


def main() -> None:
    study = Study.from_command_line("learned_self_supervised", __doc__)
    updates = 8 if study.quick else 400
    done = [
        study.run({"seed": seed, "arm": arm}, partial(run, arm, seed, updates)) for seed in study.seeds for arm in ARMS
    ]
    rows = done if study.quick else study.rows()
    lines = ["# Self-supervised features under a linear probe", "", *(__doc__ or "").split("\n\n")[2].splitlines(), ""]
    lines += [
        "Mean and 95 % t-interval over seeds; differences are paired. Deviation: of the embeddings in the last batch of"
    ]
    lines += [
        "training. Participation ratio: of the 64 features' covariance, held out; how many directions they use.",
        "",
    ]
    lines += ["| arm | held-out accuracy | - random | held-out NLL | - random | deviation | participation ratio |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for arm in ARMS:
        own, cells = {"arm": arm}, []
        for measure in ("accuracy", "nll"):
            cells += [shown(column(rows, own, measure)), shown(differences(rows, own, {"arm": "random"}, measure))]
        deviations = [] if arm == "random" else column(rows, own, "deviation")
        cells.append(f"{min(deviations):.2g} to {max(deviations):.2g}" if deviations else "")
        cells.append(f"{interval(column(rows, own, 'participation_ratio'))[0]:.1f}")
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    lines.append("")
    for arm in ARMS[1:]:
        low, high = interval(differences(rows, {"arm": arm}, {"arm": "random"}, "accuracy"))[1:]
        verdict = (
            "better than random ones" if low > 0 else "worse than random ones" if high < 0 else "no better than random"
        )
        lines.append(f"- {arm}: features are {verdict}.")
    study.write(lines)


if __name__ == "__main__":
    main()
