"""20 labels a class and unlabelled pictures against the labels alone.

    python benchmarks/learned/consistency.py [--seeds 0 1 ...] [--quick]

Digits of 14 x 14 pixels: 200 with labels, 1,800 others without, 1,000 held out; a convnet of widths 16, 32, 64 with
Mean and one linear layer; 700 updates of 32 labelled and 64 unlabelled pictures, AdamW with cosine. Every arm sees its
labelled pictures in weak views (shifted by up to 1/8). Arms: labels alone; FixMatch (threshold 0.8); mean teacher
(decay 0.97, weight 1). Ablated control: FixMatch whose strong views are those of OTHER pictures, which must not help.
Sanity: FixMatch on shuffled labels. Settings were chosen on seeds 100 and 101. Expected, and fixed before seeds 0 to 4:
FixMatch - labels alone has its interval above 0, mismatched - labels alone has not.
Each run is a line of results/learned_consistency.jsonl; those that are there are not done again.
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
from study import Study, TensorBatches, balanced, column, differences, digits, interval, judged, shown
from torch import Tensor

import globalpool as gp
from globalpool.data.batch import Batch
from globalpool.training import CrossEntropy, Loss, Objective, TrainingSettings, train
from globalpool.training.objectives import FixMatch, MeanTeacher
from globalpool.training.unlabelled import UnlabelledPictures
from globalpool.training.views import viewed, weak_view

SIDE, BATCH, UNLABELLED, UPDATES = 14, 32, 64, 700
ARMS = ("labels alone", "FixMatch", "mean teacher", "FixMatch, mismatched", "FixMatch, shuffled labels")


@dataclass(frozen=True)
class WeakViews:
    """Cross-entropy on weak views of the labelled pictures."""

    def __call__(self, classifier: gp.PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        seen = viewed(weak_view(), batch.parts, random)
        return CrossEntropy()(classifier, replace(batch, parts=seen), random)


class Mismatched(FixMatch):
    """The strong views of other pictures than those the guesses are of."""

    def strong_views(self, parts: tuple[Tensor, ...], random: torch.Generator) -> tuple[Tensor, ...]:
        return super().strong_views(tuple(part.roll(1, 0) for part in parts), random)


def run(arm: str, seed: int, updates: int) -> dict[str, float]:
    random = torch.Generator().manual_seed(seed)
    x, y = digits("train", SIDE)
    rows = balanced(y, 20, random)
    others = torch.ones(len(x), dtype=torch.bool)
    others[rows] = False
    rest = others.nonzero().flatten()
    rest = rest[torch.randperm(len(rest), generator=random)[:1800]]
    labels = y[rows]
    if "shuffled" in arm:
        labels = labels[torch.randperm(len(labels), generator=random)]
    torch.manual_seed(seed)
    classifier = gp.models.convnet(2, 1, 10, (16, 32, 64))
    source, weak = UnlabelledPictures((x[rest],), UNLABELLED), WeakViews()
    objective: Objective = weak
    if arm == "mean teacher":
        objective = MeanTeacher(classifier, source, decay=0.97, weight=1.0, ramp=updates // 2, supervised=weak)
    elif arm != "labels alone":
        objective = (Mismatched if "mismatched" in arm else FixMatch)(source, 0.8, supervised=weak)
    settings = TrainingSettings(epochs=1, learning_rate=3e-3, seed=seed)
    train(classifier, TensorBatches(x[rows], labels, BATCH, updates, seed), None, settings, objective=objective)
    accuracy, nll = judged(classifier, *digits("test", SIDE))
    return {"accuracy": accuracy, "nll": nll}


def main() -> None:
    study = Study.from_command_line("learned_consistency", __doc__)
    updates = 8 if study.quick else UPDATES
    done = [
        study.run({"seed": seed, "arm": arm}, partial(run, arm, seed, updates)) for seed in study.seeds for arm in ARMS
    ]
    rows = done if study.quick else study.rows()
    lines = [
        "# Consistency: 20 labels a class and unlabelled pictures",
        "",
        *(__doc__ or "").split("\n\n")[2].splitlines(),
    ]
    lines += ["", "Mean and 95 % t-interval over seeds; differences are paired.", ""]
    lines += [
        "| arm | held-out accuracy | - labels alone | held-out NLL | - labels alone |",
        "| --- | --- | --- | --- | --- |",
    ]
    alone = {"arm": "labels alone"}
    for arm in ARMS:
        own, cells = {"arm": arm}, []
        for measure in ("accuracy", "nll"):
            cells += [shown(column(rows, own, measure)), shown(differences(rows, own, alone, measure))]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    lines.append("")
    for arm in ARMS[1:4]:
        low, high = interval(differences(rows, {"arm": arm}, alone, "accuracy"))[1:]
        verdict = (
            "beats the labels alone" if low > 0 else "is worse than them" if high < 0 else "cannot be told from them"
        )
        lines.append(f"- {arm}: {verdict} in accuracy.")
    study.write(lines)


if __name__ == "__main__":
    main()
