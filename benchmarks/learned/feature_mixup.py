"""Does Mixup at the feature map lower the held-out NLL against none? Also beside it at the input.

    python benchmarks/learned/feature_mixup.py [--seeds 0 1 ...] [--quick]

500 digits of 14 x 14 pixels (50 a class), 1,000 held out; a convnet of widths 16, 32, 64 with Mean and one linear
layer; 600 updates of 50 pictures, AdamW with cosine. Arms: none; Mixup of the features with alpha 0.2 and 1, at the
input with alpha 1. Ablated control: features mixed, labels not. Sanity: shuffled labels. Settings were chosen before
any run of seeds 0 to 4.
Each run is a line of results/learned_feature_mixup.jsonl; those that are there are not done again.
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
from study import Study, TensorBatches, balanced, column, differences, digits, interval, judged, shown

import globalpool as gp
from globalpool.data.batch import Batch
from globalpool.training import CrossEntropy, Loss, Objective, TrainingSettings, train
from globalpool.training.interpolation_gap import interpolation_gap
from globalpool.training.objectives import FeatureMixup, Mixup

SIDE, BATCH = 14, 50


@dataclass
class Unmixed:
    """Cross-entropy against the labels from before the mix: of the picture that has the larger share."""

    def __call__(self, classifier: gp.PooledClassifier, batch: Batch, random: torch.Generator) -> Loss:
        return CrossEntropy()(classifier, replace(batch, targets=batch.targets.argmax(1)), random)


ARMS: dict[str, Objective] = {
    "none": CrossEntropy(),
    "features, 0.2": FeatureMixup(0.2),
    "features, 1": FeatureMixup(1.0),
    "input, 1": Mixup(1.0),
    "features, 1, labels unmixed": FeatureMixup(1.0, Unmixed()),
    "none, shuffled labels": CrossEntropy(),
}


def run(arm: str, seed: int, updates: int) -> dict[str, float]:
    random = torch.Generator().manual_seed(seed)
    x, y = digits("train", SIDE)
    rows = balanced(y, 50, random)
    x, y = x[rows], y[rows]
    if "shuffled" in arm:
        y = y[torch.randperm(len(y), generator=random)]
    torch.manual_seed(seed)
    classifier = gp.models.convnet(2, 1, 10, (16, 32, 64))
    settings = TrainingSettings(epochs=1, learning_rate=3e-3, seed=seed)
    train(classifier, TensorBatches(x, y, BATCH, updates, seed), None, settings, objective=ARMS[arm])
    held_x, held_y = digits("test", SIDE)
    accuracy, nll = judged(classifier, held_x, held_y)
    pairs = held_x[:500], held_x[500:1000]
    at_input, at_features = (interpolation_gap(classifier, *pairs, at=at) for at in ("input", "features"))
    return {
        "accuracy": accuracy,
        "nll": nll,
        "training_nll": judged(classifier, x, y)[1],
        "input_gap": at_input.relative,
        "feature_gap": at_features.relative,
    }


def main() -> None:
    study = Study.from_command_line("learned_feature_mixup", __doc__)
    for seed in study.seeds:
        rows = [
            study.run({"seed": seed, "arm": arm}, partial(run, arm, seed, 20 if study.quick else 600)) for arm in ARMS
        ]
    rows = rows if study.quick else study.rows()
    lines = [
        "# Mixup at the feature map against none",
        "",
        *(__doc__ or "").split("\n\n")[2].splitlines(),
        "",
        "Mean and 95 % t-interval over seeds. Interpolation gap: mean residual of the logits of 500 mixed pairs over",
        "the pairs' logit difference, five shares.",
        "",
        "| arm | held-out accuracy | held-out NLL | NLL - none | training NLL | gap at input | gap at features |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for arm in ARMS:
        own = {"arm": arm}
        cells = [shown(column(rows, own, "accuracy")), shown(column(rows, own, "nll"))]
        cells.append(shown(differences(rows, own, {"arm": "none"}, "nll")))
        cells += [
            f"{interval(column(rows, own, name))[0]:.2g}" for name in ("training_nll", "input_gap", "feature_gap")
        ]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    lines.append("")
    for arm in list(ARMS)[1:3]:
        _, low, high = interval(differences(rows, {"arm": arm}, {"arm": "none"}, "nll"))
        verdict = "lowers" if high < 0 else "raises" if low > 0 else "neither lowers nor raises (the interval holds 0)"
        lines.append(f"Mixup of the features with alpha {arm.split(', ')[1]} {verdict} the held-out NLL here.")
    study.write(lines)


if __name__ == "__main__":
    main()
