"""What localises better than the plain class activation map.

    python benchmarks/learned/localisation_study.py [--seeds 0 1 ...] [--quick]

Digits on canvases of 48 to 128 pixels with clutter; a network of six convolutions, stride 8, about a minute of training
on one core. Maps of the class that is said (right or not), at the picture's size. Plain CAM is raw evidence of Mean at
one size. Against it: contrast with the strongest other class, evidence centred over classes, three sizes of the picture
(0.75, 1, 1.5) averaged in logit units, and other pools trained in the same way (three seeds). Nothing is smoothed.
Per seed 800 pictures of held-out digits: 300 for validation, 500 for the test, no digit in both. The threshold of each
arm is chosen on validation; what is kept is what has the highest mean MaxBoxAccV2 on validation; the figures are those
of the test. Fixed before any run of seeds 0 to 4: the arms, the training, the bar of 0.15 above the centre baseline.
Each run is a line of results/localisation_study.jsonl; those that are there are not done again.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product

import torch
from study import Row, Study, column, differences, shown
from torch import Tensor, nn

from globalpool import pools
from globalpool.classifier import PooledClassifier
from globalpool.data import CanvasDigits, canvas_digits
from globalpool.data.batch import Batch
from globalpool.localize import (
    Bootstrap,
    BoxProtocol,
    Heatmaps,
    MapRecipe,
    class_maps,
    max_box_accuracy,
    max_box_accuracy_v2,
)
from globalpool.training import TrainingSettings, train

SIDES, EPOCHS, SIZE = (48, 64, 80, 96, 112, 128), 5, 40
VALIDATION, COUNT = 300, 800
WIDTHS = ((16, 2), (24, 1), (32, 2), (48, 1), (64, 2), (96, 1))
#: Seeds with which pools other than Mean are trained.
OTHERS = (0, 1, 2)
VIEWS = ("raw", "contrast", "centered")
SCALES = {"one": (1.0,), "three": (0.75, 1.0, 1.5)}
POOLS: dict[str, Callable[[], pools.Pool]] = {
    "Mean": pools.Mean,
    "LogMeanExp": pools.LogMeanExp,
    "GeM": pools.GeM,
    "Attention": partial(pools.Attention, WIDTHS[-1][0]),
}
PLAIN: Row = {"pool": "Mean", "view": "raw", "sizes": "one"}


class Canvases:
    """Batches of one size each, in a new order every epoch."""

    def __init__(self, digits: CanvasDigits, seed: int) -> None:
        self.digits, self.seed, self.epoch = digits, seed, 0
        self.groups = by_side(digits)

    def __len__(self) -> int:
        return sum(-(-len(rows) // SIZE) for rows in self.groups.values())

    def set_epoch(self, epoch: int) -> None:
        """Choose the order."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        random = torch.Generator().manual_seed(1000 * self.seed + self.epoch)
        batches = [
            rows
            for own in self.groups.values()
            for rows in torch.tensor(own)[torch.randperm(len(own), generator=random)].split(SIZE)
        ]
        for number in torch.randperm(len(batches), generator=random).tolist():
            rows = batches[number]
            yield Batch((inputs(self.digits, rows.tolist()),), torch.from_numpy(self.digits.labels)[rows], rows)


def by_side(digits: CanvasDigits) -> dict[int, list[int]]:
    """The rows of each size of canvas."""
    groups: dict[int, list[int]] = {}
    for row, picture in enumerate(digits.pictures):
        groups.setdefault(picture.shape[0], []).append(row)
    return groups


def inputs(digits: CanvasDigits, rows: list[int]) -> Tensor:
    """Pictures of one size, ``(n, 1, side, side)``, about -0.3 to 3."""
    x = torch.stack([torch.from_numpy(digits.pictures[row]) for row in rows])[:, None].float()
    return (x / 255 - 0.1) / 0.3


def network(pool: str) -> PooledClassifier:
    """Six convolutions and one pooled linear layer."""
    layers: list[nn.Module] = []
    channels = 1
    for width, stride in WIDTHS:
        convolution = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    own = POOLS[pool]()
    return PooledClassifier(nn.Sequential(*layers), own, nn.Linear(own.out_features(channels), 10))


@cache
def trained(seed: int, pool: str, quick: bool) -> PooledClassifier:
    """Trained on 4,000 digits."""
    torch.manual_seed(seed)
    classifier = network(pool)
    digits = canvas_digits(seed, SIDES, count=200 if quick else None)
    settings = TrainingSettings(epochs=1 if quick else EPOCHS, learning_rate=4e-3, warmup=0.1, seed=seed)
    train(classifier, Canvases(digits, seed), None, settings)
    return classifier


def maps_of(classifier: PooledClassifier, digits: CanvasDigits, recipe: MapRecipe) -> tuple[list[Tensor], Tensor]:
    """Maps and logits of all pictures, in their order."""
    maps: list[Tensor] = [torch.empty(0)] * len(digits)
    logits = torch.empty(len(digits), 10)
    for own in by_side(digits).values():
        for rows in torch.tensor(own).split(100):
            found = class_maps(classifier, inputs(digits, rows.tolist()), recipe=recipe)
            logits[rows] = found.logits
            for row, values in zip(rows.tolist(), found.maps.values, strict=True):
                maps[row] = torch.from_numpy(values)
    return maps, logits


def measured(seed: int, pool: str, view: str, sizes: str, quick: bool) -> dict[str, float]:
    """One arm of one seed."""
    classifier = trained(seed, pool, quick)
    digits = canvas_digits(1000 + seed, SIDES, split="test", count=100 if quick else COUNT)
    recipe = MapRecipe(view, SCALES[sizes])  # type: ignore[arg-type]
    found, logits = maps_of(classifier, digits, recipe)
    cut = 40 if quick else VALIDATION
    first = Heatmaps(tuple(one.numpy() for one in found[:cut]), recipe.view)
    second = Heatmaps(tuple(one.numpy() for one in found[cut:]), recipe.view)
    few = Bootstrap(resamples=200)
    protocol = BoxProtocol(iou=(0.3, 0.5, 0.7), keep="all", bootstrap=few)
    chosen = max_box_accuracy_v2(first, digits.boxes[:cut], protocol=protocol)
    test = max_box_accuracy_v2(second, digits.boxes[cut:], validation=(first, digits.boxes[:cut]), protocol=protocol)
    one = max_box_accuracy(
        second,
        digits.boxes[cut:],
        validation=(first, digits.boxes[:cut]),
        protocol=BoxProtocol(bootstrap=few),
    )
    right = logits.argmax(1) == torch.from_numpy(digits.labels)
    return {
        "accuracy": float(right.float().mean()),
        "validation": chosen.accuracy.value,
        "test": test.accuracy.value,
        "centre": test.centre.value,
        "random": test.random.value,
        "margin": test.above_centre.value,
        "v1": one.accuracy.value,
        "threshold": test.rows[1].threshold,
        **({} if test.zero is None else {"zero": test.zero.value}),
    }


def main() -> None:
    """Run what is missing, print what there is."""
    study = Study.from_command_line("localisation_study", __doc__)
    rows = [] if study.quick else study.rows()
    for pool, seed in product(POOLS, study.seeds):
        if pool != "Mean" and seed not in OTHERS:
            continue
        for view, sizes in product(VIEWS, SCALES):
            key: Row = {"seed": seed, "pool": pool, "view": view, "sizes": sizes}
            row = study.run(key, partial(measured, seed, pool, view, sizes, study.quick))
            if row not in rows:
                rows.append(row)
        trained.cache_clear()
    study.write(page(rows))


def page(rows: list[Row]) -> list[str]:
    """Markdown."""
    arms: list[Row] = [
        {"pool": pool, "view": view, "sizes": sizes}
        for pool, view, sizes in product(POOLS, VIEWS, SCALES)
        if column(rows, {"pool": pool, "view": view, "sizes": sizes}, "test")
    ]
    lines = ["# Localisation: what beats plain CAM", "", *(__doc__ or "").strip().splitlines()[4:], ""]
    seeds = ", ".join(map(str, sorted({row["seed"] for row in rows})))
    lines += [
        f"Seeds {seeds}. "
        "Mean and 95 % t-interval over seeds; differences are paired by seed; zero: MaxBoxAccV2 of `evidence > 0`.",
        "",
        "| pool | evidence | sizes | validation | MaxBoxAccV2 | above centre | - plain CAM | zero | MaxBoxAcc |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for arm in arms:
        cells = [shown(column(rows, arm, name)) for name in ("validation", "test", "margin")]
        gain = "" if arm == PLAIN else shown(differences(rows, arm, PLAIN, "test"))
        zero = "" if arm["view"] == "raw" else shown(column(rows, arm, "zero"))
        names = f"{arm['pool']} | {arm['view']} | {arm['sizes']}"
        lines.append(f"| {names} | {' | '.join(cells)} | {gain} | {zero} | {shown(column(rows, arm, 'v1'))} |")
    lines += ["", "| pool | accuracy of the classifier |", "| --- | --- |"]
    for pool in POOLS:
        own = column(rows, {**PLAIN, "pool": pool}, "accuracy")
        if own:
            lines.append(f"| {pool} | {shown(own)} |")
    if missing := [pool for pool in POOLS if not column(rows, {**PLAIN, "pool": pool}, "accuracy")]:
        lines += ["", f"Not run: {', '.join(missing)}."]
    centre, random = (column(rows, PLAIN, name) for name in ("centre", "random"))
    lines += ["", f"Centre baseline {shown(centre)}, random boxes {shown(random)}."]
    best = max(arms, key=lambda arm: sum(column(rows, arm, "validation")) / len(column(rows, arm, "validation")))
    of_mean = [arm for arm in arms if arm["pool"] == "Mean"]
    kept = max(of_mean, key=lambda arm: sum(column(rows, arm, "validation")))
    for text, arm in (("Best on validation", best), ("Best on validation with Mean", kept)):
        gain = "" if arm == PLAIN else f", {shown(differences(rows, arm, PLAIN, 'test'))} over plain CAM"
        lines.append(
            f"{text}: {arm['pool']}, {arm['view']} evidence, {arm['sizes']} size{'s' * (arm['sizes'] != 'one')}: "
            f"on the test {shown(column(rows, arm, 'test'))}, "
            f"{shown(column(rows, arm, 'margin'))} above the centre{gain}."
        )
    return lines


if __name__ == "__main__":
    main()
