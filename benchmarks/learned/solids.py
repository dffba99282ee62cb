"""Does evidence in a volume lie in the part that decides the class? The same volumes, two questions.

    python benchmarks/learned/solids.py [--seeds 0 1 ...] [--quick]

Solids of 24 mm at 1 mm: a sphere, box or torus with a ball, rod or plate of one volume and brightness planted in it;
1,200 to train, 120 held out; a convnet of widths 16, 32, two convolutions each, stride 4, with Mean and one linear
layer; 1,200 updates of 16 volumes, AdamW with cosine. Method: the class is the part. Ablated control: the class is the
body, all else the same. Sanity: the parts' labels shuffled. The evidence for the true class over the mean of all, at
the voxels, is held against the planted part: the pointing game (is its highest voxel within 2 of the part), and the
share of the evidence in favour that lies within 2 voxels of the part. Chosen on seed 100, expected of seeds 0 to 4:
held-out accuracy of method and control 0.9 or more; pointing of the method 0.2 or more above the control and above
chance; sanity at 1/3 within 0.1. The cube is small beside its parts, so its middle alone points well: it is shown.
Each run is a line of results/learned_solids.jsonl; those that are there are not done again.
"""

from functools import partial

import numpy as np
import torch
from study import Study, TensorBatches, column, differences, interval, judged, shown

import globalpool as gp
from globalpool.data.solids import Solids, solids
from globalpool.localize.pointing import pointing_game, widened
from globalpool.training import TrainingSettings, train

ARMS = ("part", "body", "part, shuffled labels")
SIDE, BATCH, TOLERANCE = 24.0, 16, 2.0


def tensors(data: Solids, arm: str) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(np.stack(data.volumes))[:, None]
    return x, torch.from_numpy(data.bodies if arm == "body" else data.labels)


def run(arm: str, seed: int, updates: int, count: int) -> dict[str, float]:
    x, y = tensors(solids(seed, count, sides=(SIDE,)), arm)
    if "shuffled" in arm:
        y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]
    torch.manual_seed(seed)
    classifier = gp.models.convnet(3, 1, 3, (16, 32), depth=2, first_stride=2)
    settings = TrainingSettings(epochs=1, learning_rate=1e-2, seed=seed)
    train(classifier, TensorBatches(x, y, BATCH, updates, seed), None, settings)
    held = solids(seed, min(count, 120), sides=(SIDE,), split="test")
    held_x, held_y = tensors(held, arm)
    accuracy, nll = judged(classifier, held_x, held_y)
    with torch.inference_mode():
        evidence = classifier.evidence(held_x, "all").check()
    maps = evidence.centered().select(held_y).upsample(tuple(held_x.shape[2:]))
    assert isinstance(maps, torch.Tensor)
    values = maps[:, 0].double().numpy()
    near = np.stack([widened(part, TOLERANCE) for part in held.parts])
    favour = values.clip(min=0)
    shares = (favour * near).sum((1, 2, 3)) / np.maximum(favour.sum((1, 2, 3)), 1e-12)
    game = pointing_game(values, np.stack(held.parts), tolerance=TOLERANCE)
    return {
        "accuracy": accuracy,
        "nll": nll,
        "pointing": game.hits.value,
        "chance": game.random.value,
        "centre": game.centre.value,
        "share": float(shares.mean()),
        "share_of_volume": float(near.mean()),
    }


def main() -> None:
    study = Study.from_command_line("learned_solids", __doc__)
    size = (20, 48) if study.quick else (1200, 1200)
    for seed in study.seeds:
        rows = [study.run({"seed": seed, "arm": arm}, partial(run, arm, seed, *size)) for arm in ARMS]
    rows = rows if study.quick else study.rows()
    lines = [
        "# Evidence in the planted part of a solid",
        "",
        *(__doc__ or "").split("\n\n")[2].splitlines(),
        "",
        'Mean and 95 % t-interval over seeds. A random voxel points within 2 of the part as often as "chance" says.',
        "",
        "| the class is | held-out accuracy | pointing | chance | centre | favour near the part | volume near it |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for arm in ARMS:
        cells = [shown(column(rows, {"arm": arm}, name)) for name in ("accuracy", "pointing")]
        cells += [f"{interval(column(rows, {'arm': arm}, name))[0]:.3f}" for name in ("chance", "centre")]
        cells += [shown(column(rows, {"arm": arm}, "share"))]
        cells += [f"{interval(column(rows, {'arm': arm}, 'share_of_volume'))[0]:.3f}"]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    gap = differences(rows, {"arm": "part"}, {"arm": "body"}, "pointing")
    above = [row["pointing"] - row["chance"] for row in rows if row["arm"] == "part"]
    lines += ["", f"Pointing, part - body, paired: {shown(gap)}. Part - chance: {shown(above)}."]
    _, low, _ = interval(gap)
    verdict = "does" if low > 0 else "does not (the interval holds 0)"
    lines.append(f"Evidence {verdict} follow the question that was asked of the same volumes.")
    study.write(lines)


if __name__ == "__main__":
    main()
