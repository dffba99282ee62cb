"""The report of a run: a verdict, the curves, the confusions, and the worst mistakes with their evidence."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from globalpool.classifier import PooledClassifier
from globalpool.data import Example, SizePolicy
from globalpool.data.kinds import InputKind
from globalpool.data.pictures import Pictures, inputs_of
from globalpool.errors import DataError, EvidenceError
from globalpool.extras import need
from globalpool.report.inline import inline_figure, inline_picture
from globalpool.report.kinds import draw
from globalpool.report.localised import Localised
from globalpool.report.training_figures import draw_curves, draw_sizes
from globalpool.report.verdict import verdict_of
from globalpool.training import Judged, RunFolder, TrainingResult
from globalpool.training.files import write_whole
from globalpool.training.predictions import Share, share
from globalpool.training.processes import device_of

#: Mistakes shown with their evidence, examples shown of each confusion, classes up to which the whole table is shown.
MISTAKES, CONFUSIONS, EXAMPLES, TABLE = 8, 6, 4, 30
#: Bins of picture sizes, each with as many pictures.
BINS = 6


@dataclass(frozen=True)
class TrainingReport:
    """``verdict``: the page's first sentences; ``page``, ``data``: report.html and report.json."""

    verdict: str
    page: Path
    data: Path


@dataclass(frozen=True)
class SizeBin:
    """Pictures whose side (the root of their pixels) lies between two bounds, and how many are right."""

    smallest: float
    largest: float
    right: Share


@dataclass(frozen=True)
class Mistake:
    """A picture, its class and what it was taken for; ``figure``: its evidence as a data URI, where it has one."""

    path: str
    true: str
    predicted: str
    probability: float
    nll: float
    figure: str = ""


@dataclass(frozen=True)
class Confusion:
    """``count`` pictures of class ``true`` taken for ``predicted``; some of them as data URIs."""

    true: str
    predicted: str
    count: int
    pictures: tuple[str, ...] = ()


def write_training_report(
    folder: RunFolder,
    classifier: PooledClassifier,
    examples: Sequence[Example],
    judged: Judged,
    result: TrainingResult,
    sizes: SizePolicy,
    part: str,
    rule: str,
    localised: Localised | None = None,
) -> TrainingReport:
    """Write report.html, which needs no other file and no network, and report.json, into the run's folder.

    ``examples[i]`` is the picture of ``judged``'s row ``i``; ``part``: "test" or "validation", which they are;
    ``rule``: how they were chosen; ``localised``: what evidence points at, where boxes are known.
    """
    classes = classifier.labels or tuple(map(str, range(judged.logits.shape[1])))
    right = share(judged.right)
    bins = size_bins(examples, judged)
    inputs = inputs_of(classifier, sizes)
    verdict = verdict_of(right, judged, result, part, classes, inputs.word)
    single = not judged.multi_label
    confusions = _confusions(examples, judged, classes, inputs) if single else []
    mistakes = _mistakes(classifier, examples, judged, classes, sizes) if single else []
    facts: dict[str, Any] = {
        "verdict": verdict,
        "part": part,
        "split": rule,
        "accuracy": asdict(right) | {"value": right.value},
        "nll": float(judged.nll.mean()),
        "best_epoch": result.best,
        "seconds": round(result.seconds, 3),
        "epochs": [asdict(epoch) for epoch in result.epochs],
        "classes": list(classes),
        "confusion": judged.confusion() if single else None,
        "sizes": [asdict(one) | {"right": asdict(one.right)} for one in bins],
        "localisation": None if localised is None else localised.facts(),
        "mistakes": [{name: value for name, value in asdict(one).items() if name != "figure"} for one in mistakes],
    }
    page, data = folder.path / "report.html", folder.path / "report.json"
    write_whole(data, (json.dumps(_finite(facts), indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode())
    jinja2 = need("jinja2", "images", "the report")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("globalpool.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    html = environment.get_template("training.html").render(
        facts=facts,
        name=folder.path.name,
        right=right,
        curves=inline_figure(draw_curves(result)) if len(result.epochs) > 1 else "",
        size_curve=inline_figure(draw_sizes(bins)) if len(bins) > 1 else "",
        table=judged.confusion() if single and len(classes) <= TABLE else None,
        classes=classes,
        confusions=confusions,
        mistakes=mistakes,
        localised=localised,
        word=inputs.word,
        options=folder.config().get("options", {}),
        environment=json.loads((folder.path / "environment.json").read_text(encoding="utf-8")),
    )
    write_whole(page, html.encode(errors="backslashreplace"))
    return TrainingReport(verdict, page, data)


def size_bins(examples: Sequence[Example], judged: Judged) -> list[SizeBin]:
    """Accuracy by the side (geometric mean of the lengths), in bins of about as many samples; one size, one bin."""
    sides = [math.prod(example.size) ** (1 / len(example.size)) for example in examples]
    order = sorted(range(len(sides)), key=sides.__getitem__)
    known = sorted(set(sides))
    edges = known if len(known) <= BINS else sorted({sides[order[len(order) * k // BINS]] for k in range(BINS)})
    found = []
    for number, low in enumerate(edges):
        high = edges[number + 1] if number + 1 < len(edges) else math.inf
        own = [row for row in order if low <= sides[row] < high]
        found.append(SizeBin(sides[own[0]], sides[own[-1]], share(judged.right[own])))
    return found


def _confusions(
    examples: Sequence[Example], judged: Judged, classes: Sequence[str], inputs: InputKind
) -> list[Confusion]:
    """The most frequent ones, with pictures or drawings."""
    rows: dict[tuple[int, int], list[int]] = {}
    for row in judged.right.logical_not().nonzero().flatten().tolist():
        rows.setdefault((int(judged.targets[row]), int(judged.logits[row].argmax())), []).append(row)
    found = []
    for (true, predicted), own in sorted(rows.items(), key=lambda entry: (-len(entry[1]), entry[0]))[:CONFUSIONS]:
        pictures = [_thumbnail(examples[row], inputs) for row in own[:EXAMPLES]]
        found.append(Confusion(classes[true], classes[predicted], len(own), tuple(pictures)))
    return found


def _mistakes(
    classifier: PooledClassifier,
    examples: Sequence[Example],
    judged: Judged,
    classes: Sequence[str],
    sizes: SizePolicy,
) -> list[Mistake]:
    """The wrong pictures with the highest NLL: evidence for what was said, for the truth, and of one over the other."""
    wrong = judged.right.logical_not().nonzero().flatten()
    worst = wrong[judged.nll[wrong].argsort(descending=True, stable=True)][:MISTAKES].tolist()
    found = []
    for row in worst:
        example, true, said = examples[row], int(judged.targets[row]), int(judged.logits[row].argmax())
        figure = _evidence_figure(classifier, example, sizes, true, said, classes)
        probability, nll = float(judged.probabilities[row, said]), float(judged.nll[row])
        found.append(Mistake(str(example.path), classes[true], classes[said], probability, nll, figure))
    return found


def _evidence_figure(
    classifier: PooledClassifier, example: Example, sizes: SizePolicy, true: int, said: int, classes: Sequence[str]
) -> str:
    inputs = inputs_of(classifier, sizes)
    try:
        item = inputs.read(example.path)
        (part,) = inputs.collate([inputs.prepare(item)])
        evidence = classifier.evidence(part.to(device_of(classifier)), "all").detach()
        panels = [
            (evidence.centered().select(said), f"for {classes[said]} (said)"),
            (evidence.centered().select(true), f"for {classes[true]} (true)"),
            (evidence.contrast(said, true), f"{classes[said]} over {classes[true]}"),
        ]
        return inline_figure(draw(item, inputs, panels))
    except (DataError, EvidenceError):  # a file gone since, or a pool that keeps an axis
        return ""


def _thumbnail(example: Example, inputs: InputKind) -> str:
    item = inputs.read(example.path)
    return inline_picture(item.pixels) if isinstance(inputs, Pictures) else inline_figure(draw(item, inputs, []))


def _finite(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
