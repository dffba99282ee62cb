"""Pictures in, a folder out: classes, probabilities, evidence, and the proof that it adds up."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data import Picture, find_pictures, prepare, read_picture
from globalpool.errors import DataError, EvidenceError
from globalpool.evidence import Classes, Evidence
from globalpool.evidence.choose import choose
from globalpool.report.figure import draw_evidence, save_figure
from globalpool.report.page import write_page
from globalpool.report.variation import Variation


@dataclass(frozen=True)
class Prediction:
    """One class of one picture; a row of ``predictions.csv``. Logits and residual in logit units.

    ``logit == evidence_for + evidence_against + offset`` up to ``residual``, all against the mean of all classes
    (``centered_logit``); ``raw_logit`` is the network's own number.
    """

    path: str
    rank: int
    class_id: int
    label: str
    probability: float
    raw_logit: float
    centered_logit: float
    evidence_for: float
    evidence_against: float
    offset: float
    residual: float
    figure: str
    notes: str


@dataclass(frozen=True)
class Explanation:
    """What ``explain`` wrote: ``out`` holds index.html, predictions.csv, evidence.npz, errors.csv and pictures/.

    ``errors``: (path, reason) of files that could not be read; ``residual``: the largest, logit units;
    ``offset_share``: share of the logits' variation between pictures that the offset carries (NaN for one picture);
    ``kind`` of the evidence; ``passed_over``: files in searched folders without a picture's suffix.
    """

    out: Path
    predictions: tuple[Prediction, ...]
    errors: tuple[tuple[str, str], ...]
    residual: float
    offset_share: float
    kind: str
    passed_over: int


#: The columns of predictions.csv; ``class`` is the label.
COLUMNS = tuple("class" if field.name == "label" else field.name for field in fields(Prediction))


def explain(
    classifier: PooledClassifier,
    paths: Iterable[str | Path],
    out: str | Path,
    *,
    classes: Classes = "top3",
    size: int | None = None,
    overwrite: bool = False,
) -> Explanation:
    """Explain pictures: files, or folders searched for them.

    ``classes``: "top<k>", an id, or ids ``(k,)`` for every picture. ``size``: the whole picture resized to
    ``size`` x ``size``; None: at its native size. Evidence is drawn on the picture at its own resolution, centred
    against the mean of all classes. A file that cannot be read becomes a row of errors.csv. ``overwrite`` allows a
    folder that holds an earlier explanation. Neither the classifier nor any input file is changed.
    """
    out = Path(out)
    found = find_pictures(paths)
    figures = (out / "pictures").resolve()
    # An earlier explanation inside a searched folder is not explained again.
    files = [file for file in found.files if not (_is_ours(out) and figures in file.resolve().parents)]
    if classifier.input_spec is None:
        hint = "Pass input_spec=InputSpec(size, mean, std) when you build it."
        raise DataError("explain", "a classifier that says how pictures are prepared", "input_spec=None", hint)
    if not files:
        raise DataError("explain", "at least one picture", f"none in {', '.join(map(str, paths)) or 'no path'}")
    _make_folder(out, overwrite)
    predictions: list[Prediction] = []
    errors: list[tuple[str, str]] = []
    variation, residual, kind = Variation(), 0.0, ""
    with ExitStack() as stack:
        table = csv.writer(stack.enter_context(open(out / "predictions.csv", "w", newline="", encoding="utf-8")))
        faults = csv.writer(stack.enter_context(open(out / "errors.csv", "w", newline="", encoding="utf-8")))
        archive = stack.enter_context(ZipFile(out / "evidence.npz", "w", ZIP_DEFLATED))
        table.writerow(COLUMNS)
        faults.writerow(("path", "reason"))
        for number, file in enumerate(_progress(files)):
            try:
                picture = read_picture(file)
                x = prepare(picture, classifier.input_spec, size)
                evidence = _evidence(classifier, x)
            except (DataError, EvidenceError) as error:
                errors.append((str(file), str(error)))
                faults.writerow(errors[-1])
                continue
            ids, _ = choose(classes.reshape(1, -1) if isinstance(classes, Tensor) else classes, evidence.logits)
            chosen = evidence.centered().select(ids)
            rows = list(_predictions(classifier, picture, evidence, chosen, f"pictures/{number:05d}.png"))
            _draw(out / rows[0].figure, picture, evidence, chosen, rows)
            _store(archive, f"{number:05d}", evidence.select(chosen.classes), picture)
            table.writerows(map(astuple, rows))
            predictions += rows
            variation.add(evidence.offset[0], evidence.logits[0])
            residual, kind = max(residual, *(row.residual for row in rows)), evidence.kind
    share = variation.offset_share()
    result = Explanation(
        out, tuple(predictions), tuple(errors), residual, share, kind, len(found.passed_over)
    )  # fmt: skip
    write_page(out / "index.html", result, size)
    return result


def _evidence(classifier: PooledClassifier, x: Tensor) -> Evidence:
    """Raw evidence of one picture for all classes, checked."""
    first = next(classifier.parameters(), x)
    with torch.inference_mode():
        return classifier.evidence(x.to(first.device, first.dtype), "all").detach().check()


def _predictions(
    classifier: PooledClassifier, picture: Picture, evidence: Evidence, chosen: Evidence, figure: str
) -> Iterator[Prediction]:
    probabilities = evidence.logits.double().softmax(1)[0]
    residuals = evidence.residual()[0]
    maps = chosen.maps[0].flatten(1).double()
    for column, class_id in enumerate(chosen.classes[0].tolist()):
        yield Prediction(
            path=str(picture.path),
            rank=column + 1,
            class_id=class_id,
            label=str(class_id) if classifier.labels is None else classifier.labels[class_id],
            probability=float(probabilities[class_id]),
            raw_logit=float(evidence.logits[0, class_id]),
            centered_logit=float(chosen.logits[0, column]),
            evidence_for=float(maps[column].clamp(min=0).sum()),
            evidence_against=float(maps[column].clamp(max=0).sum()),
            offset=float(chosen.offset[0, column]),
            residual=float(residuals[class_id]),
            figure=figure,
            notes="; ".join(picture.notes),
        )


def _draw(path: Path, picture: Picture, evidence: Evidence, chosen: Evidence, rows: list[Prediction]) -> None:
    """A panel for each class, and one that says what tells the first from the second."""
    panels = [
        (
            chosen.select(chosen.classes[:, [column]]),
            f"{row.label}\np = {row.probability:.3f}, logit {row.centered_logit:+.2f}",
        )
        for column, row in enumerate(rows)
    ]
    if len(rows) > 1:
        contrast = evidence.contrast(rows[0].class_id, rows[1].class_id)
        panels.append((contrast, f"{rows[0].label} over {rows[1].label}\nlogit {float(contrast.logits):+.2f}"))
    save_figure(draw_evidence(picture.pixels, panels), path, picture.pixels.shape[1])


def _store(archive: ZipFile, key: str, evidence: Evidence, picture: Picture) -> None:
    """Raw maps, classes, logits and offset of one picture, under ``key/name`` for ``numpy.load``."""
    arrays: dict[str, NDArray[np.generic]] = {
        name: getattr(evidence, name)[0].float().numpy(force=True) for name in ("maps", "logits", "offset")
    }
    arrays["classes"] = evidence.classes[0].numpy(force=True)
    arrays["path"] = np.array(str(picture.path))
    arrays["picture_size"] = np.array(picture.pixels.shape[:2])
    for name, array in arrays.items():
        with archive.open(f"{key}/{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, array, allow_pickle=False)


def _make_folder(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(str(out), "a folder to write to", "a file", "Choose another --out.")
    if out.is_dir() and any(out.iterdir()):
        ours = _is_ours(out)
        if not (overwrite and ours):
            got = "one with an earlier explanation" if ours else "one with other files"
            hint = "Pass --overwrite to replace it." if ours else "Choose another --out."
            raise DataError(str(out), "a new or empty folder", got, hint)
        for figure in (out / "pictures").glob("[0-9]*.png"):
            figure.unlink()
    (out / "pictures").mkdir(parents=True, exist_ok=True)


def _is_ours(out: Path) -> bool:
    """Whether the folder holds an earlier explanation."""
    return (out / "predictions.csv").is_file() and (out / "errors.csv").is_file()


def _progress(files: list[Path]) -> Iterable[Path]:
    from tqdm import tqdm

    # None: a bar on a terminal, nothing in a log.
    bar: Iterable[Path] = tqdm(files, unit="picture", disable=None if len(files) > 1 else True)
    return bar
