"""Pictures in, a folder out: classes, probabilities, evidence, and the proof that it adds up."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data import Picture, SizePolicy, find_pictures, prepare, read_picture
from globalpool.errors import AdoptionError, DataError, EvidenceError
from globalpool.evidence import Classes, Evidence, evaluating
from globalpool.evidence.choose import choose
from globalpool.extras import need
from globalpool.report.figure import draw_evidence, save_figure
from globalpool.report.folder import earlier_figures, make_folder, open_text
from globalpool.report.page import write_page
from globalpool.report.results import COLUMNS, Explanation, Prediction
from globalpool.report.variation import Variation


def explain(
    classifier: PooledClassifier,
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    classes: Classes | Sequence[int] | None = None,
    size: int | SizePolicy | None = None,
    overwrite: bool = False,
) -> Explanation:
    """Explain pictures: files, or folders searched for them.

    ``classes``: "top<k>", an id, or ids ``(k,)`` for every picture; None: the top three. ``size``: the whole picture
    resized to ``size`` x ``size``, or to what a size policy says; None: at its native size. Evidence is drawn on the
    picture at its own resolution (up to 640 pixels a side), centred against the mean of all classes. A file that
    cannot be read or explained becomes a row of errors.csv. ``overwrite`` allows a folder that holds an earlier
    explanation. The request is checked before the folder is touched, and what was finished has its page also after an
    interruption. Neither the classifier nor any input file is changed.
    """
    out, paths = Path(out), [paths] if isinstance(paths, str | Path) else list(paths)
    wanted = _check_request(classifier, classes, size)
    found, old = find_pictures(paths), earlier_figures(out)
    # Figures of an earlier explanation inside a searched folder are not explained again.
    files = [file for file in found.files if file.resolve() not in old]
    lost = sorted(str(path) for path in paths if Path(path).resolve() in old)
    if lost and overwrite:
        raise DataError("explain", "pictures outside what is replaced", lost[0], "Choose another --out.")
    if not files and not found.unlisted:
        raise DataError("explain", "at least one picture", f"none in {', '.join(map(str, paths)) or 'no path'}")
    make_folder(out, overwrite)
    predictions: list[Prediction] = []
    errors: list[tuple[str, str]] = [(str(path), reason) for path, reason in found.unlisted]
    variation, kind = Variation(), ""
    try:
        with ExitStack() as stack:
            table = csv.writer(stack.enter_context(open_text(out / "predictions.csv")))
            faults = csv.writer(stack.enter_context(open_text(out / "errors.csv")))
            archive = stack.enter_context(ZipFile(out / "evidence.npz", "w", ZIP_DEFLATED))
            table.writerow(COLUMNS)
            faults.writerows([("path", "reason"), *errors])
            for number, file in enumerate(_progress(files)):
                try:
                    picture = read_picture(file)
                    evidence = _evidence(classifier, picture, size)
                except (DataError, EvidenceError) as error:
                    errors.append((str(file), str(error)))
                    faults.writerow(errors[-1])
                    continue
                ids, _ = choose(wanted, evidence.logits)
                chosen = evidence.centered().select(ids)
                rows = list(_predictions(classifier, picture, evidence, chosen, f"pictures/{number:05d}.png"))
                _draw(out / rows[0].figure, picture, evidence, chosen, rows)
                _store(archive, f"{number:05d}", evidence.select(chosen.classes), picture)
                table.writerows(map(astuple, rows))
                predictions += rows
                variation.add(evidence.offset[0], evidence.logits[0])
                kind = evidence.kind
    finally:
        result = Explanation(
            out=out,
            predictions=tuple(predictions),
            errors=tuple(errors),
            residual=max((row.residual for row in predictions), default=0.0),
            offset_share=variation.offset_share(),
            kind=kind,
            passed_over=tuple(map(str, found.passed_over)),
        )
        write_page(out / "index.html", result, size)
    return result


def _check_request(
    classifier: PooledClassifier, classes: Classes | Sequence[int] | None, size: int | SizePolicy | None
) -> Classes:
    """The classes to ask for; raises where no picture could be explained as asked."""
    for package in ("matplotlib", "jinja2", "tqdm"):
        need(package, "images", "explain")
    spec = classifier.input_spec
    if spec is None or len(spec.mean) != 3 or len(spec.std) != 3:
        hint = "Pass input_spec=InputSpec(size, mean, std) with three channels when you build it."
        raise DataError("explain", "a classifier that says how RGB pictures are prepared", f"input_spec={spec}", hint)
    if not (size is None or callable(size)) and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise DataError("explain", "`size` as a positive number of pixels, or None for native size", repr(size))
    count = _outputs(classifier, size if isinstance(size, int) else spec.size)
    if count < 2:
        hint = "Evidence is drawn against the mean of the classes; for one logit use classifier.evidence(x, 0)."
        raise DataError("explain", "a classifier with at least 2 classes", f"{count}", hint)
    if classifier.labels is not None and len(classifier.labels) != count:
        raise DataError("explain", f"{count} labels, one a class", f"{len(classifier.labels)}")
    if classes is None:
        return f"top{min(3, count)}"
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        classes = torch.tensor(list(classes), dtype=torch.long)
    if isinstance(classes, Tensor):
        if classes.numel() == 0:
            raise DataError("explain", "at least one class", "none")
        classes = classes.reshape(1, -1)
    choose(classes, torch.zeros(1, count))
    return classes


def _outputs(classifier: PooledClassifier, size: int) -> int:
    """How many logits the classifier gives."""
    first = next(classifier.parameters(), torch.zeros(()))
    x = torch.zeros(1, 3, size, size, device=first.device, dtype=first.dtype)
    with evaluating(classifier), torch.inference_mode():
        return int(classifier(x).shape[1])


def _evidence(classifier: PooledClassifier, picture: Picture, size: int | SizePolicy | None) -> Evidence:
    """Raw evidence of one picture for all classes, checked; DataError where the network cannot take the picture."""
    assert classifier.input_spec is not None
    height, width = picture.pixels.shape[:2]
    x = prepare(picture, classifier.input_spec, size((height, width)) if callable(size) else size)
    first = next(classifier.parameters(), x)
    try:
        with torch.inference_mode():
            evidence = classifier.evidence(x.to(first.device, first.dtype), "all").detach()
    except (RuntimeError, MemoryError, AdoptionError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise DataError(str(picture.path), f"an input the network can take, {tuple(x.shape)}", reason) from error
    if not bool(evidence.logits.isfinite().all()):
        raise DataError(str(picture.path), "finite logits", "NaN or Inf")
    return evidence.check()


def _predictions(
    classifier: PooledClassifier, picture: Picture, evidence: Evidence, chosen: Evidence, figure: str
) -> Iterator[Prediction]:
    probabilities = evidence.logits.double().softmax(1)[0]
    residuals = evidence.residual()[0]
    maps = chosen.maps[0].flatten(1).double()
    logits = evidence.logits[0]
    for column, class_id in enumerate(chosen.classes[0].tolist()):
        yield Prediction(
            path=str(picture.path),
            rank=int((logits > logits[class_id]).sum()) + 1,
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
            f"{row.label}\np = {row.probability:.3f}, logit over mean {row.centered_logit:+.2f}",
        )
        for column, row in enumerate(rows)
    ]
    if len(rows) > 1 and rows[0].class_id != rows[1].class_id:
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


def _progress(files: list[Path]) -> Iterable[Path]:
    from tqdm import tqdm

    # None: a bar on a terminal, nothing in a log.
    bar: Iterable[Path] = tqdm(files, unit="picture", disable=None if len(files) > 1 else True)
    return bar
