"""What is written when training is done: the judgement on pictures held out, and the report."""

import csv
import io
from pathlib import Path

from globalpool.classifier import PooledClassifier
from globalpool.cli.prepared import Prepared
from globalpool.data import Rank, read_boxes_table
from globalpool.data.examples import Part
from globalpool.errors import DataError, LocalizationError
from globalpool.report.localised import Localised, localise
from globalpool.report.training import write_training_report
from globalpool.training import Judged, RunFolder, TrainingResult, judge, load_run
from globalpool.training.files import write_whole


def finish(folder: RunFolder, prepared: Prepared, result: TrainingResult, localised: Localised | None = None) -> None:
    """Write predictions.csv, confusion.csv, report.html and report.json; print the verdict. Can be done again.

    ``localised``: what evidence points at, where that is known already.
    """
    for warning in folder.warnings:
        print(f"note: {warning}")
    split = prepared.split
    part: Part = "test" if split.test else "validation"
    batches = prepared.judged(split.part(part), Rank())
    if batches is None:
        print(f"no {prepared.architecture.inputs.word} was held out; weights: {folder.path}")
        return
    classifier = load_run(folder.path)
    judged = judge(classifier, batches)
    write_predictions(folder.path / "predictions.csv", prepared, judged)
    if not judged.multi_label:
        _write_confusion(folder.path / "confusion.csv", prepared.data.classes, judged.confusion())
    examples = [prepared.data.examples[index] for index in judged.indices.tolist()]
    asked = localised is None and prepared.options.boxes is not None
    if asked:
        localised = _localised(prepared, classifier, part)
    given = (folder, classifier, examples, judged, result, prepared.sizes, part, split.rule)
    report = write_training_report(*given, localised)
    print(report.verdict)
    if asked and localised is not None:
        found = localised.accuracy
        print(f"{found.metric} {found.accuracy} over {found.samples} pictures, centre baseline {found.centre}")
    print(f"report: {report.page}")
    print(f"next: globalpool predict {folder.path} {prepared.architecture.inputs.word.upper()}S --out DIR")


def _localised(prepared: Prepared, classifier: PooledClassifier, part: Part) -> Localised | None:
    """The pictures held out whose boxes the table knows, judged; None, and a note, where that cannot be."""
    assert prepared.options.boxes is not None, "asked for"
    try:
        known = {one.path.resolve(): one for one in read_boxes_table(prepared.options.boxes)}
        chosen, judged = (
            [known[path] for path in _paths(prepared, name) if path in known]
            for name in (("validation", part) if part == "test" else (None, part))
        )
        return localise(classifier, chosen, judged, prepared.sizes)
    except (DataError, LocalizationError) as error:
        print(f"note: no localisation in the report: {error}")
        return None


def _paths(prepared: Prepared, part: Part | None) -> list[Path]:
    indices = () if part is None else prepared.split.part(part)
    return [prepared.data.examples[index].path.resolve() for index in indices]


def write_predictions(file: Path, prepared: Prepared, judged: Judged) -> None:
    """One row a picture; for several labels one row for each label that is predicted, or the most probable."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("path", "class", "probability", "true"))
    classes = prepared.data.classes
    for index, row in zip(judged.indices.tolist(), judged.probabilities, strict=True):
        example = prepared.data.examples[index]
        chosen = [int(row.argmax())]
        if judged.multi_label:
            chosen = (row > 0.5).nonzero().flatten().tolist() or chosen
        true = ";".join(classes[label] for label in example.labels)
        table.writerows((example.path, classes[label], float(row[label]), true) for label in chosen)
    write_whole(file, text.getvalue().encode(errors="backslashreplace"))


def _write_confusion(file: Path, classes: tuple[str, ...], cells: list[list[int]]) -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("true \\ predicted", *classes))
    table.writerows((name, *row) for name, row in zip(classes, cells, strict=True))
    write_whole(file, text.getvalue().encode(errors="backslashreplace"))
