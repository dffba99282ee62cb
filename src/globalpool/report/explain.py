"""Pictures in, a folder out: classes, probabilities, evidence, and the proof that it adds up."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, Literal
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalpool.classifier import PooledClassifier
from globalpool.data import Fixed, Native, SizePolicy
from globalpool.data.kinds import InputKind
from globalpool.data.parts import logits
from globalpool.data.pictures import Pictures
from globalpool.errors import AdoptionError, DataError, EvidenceError, LayoutError
from globalpool.evidence import Classes, Evidence, evaluating
from globalpool.evidence.choose import choose
from globalpool.extras import need
from globalpool.report.folder import earlier_figures, make_folder, open_text
from globalpool.report.kinds import save_beside, save_drawing
from globalpool.report.page import write_page
from globalpool.report.results import COLUMNS, Explanation, Prediction
from globalpool.report.variation import Variation

#: How logits become probabilities: over all classes together, or of each by itself.
Probabilities = Literal["softmax", "sigmoid"]


def explain(
    classifier: PooledClassifier,
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    classes: Classes | Sequence[int] | None = None,
    size: int | SizePolicy | None = None,
    overwrite: bool = False,
    probabilities: Probabilities = "softmax",
) -> Explanation:
    """Explain pictures, or what else the classifier takes: files, or folders searched for them.

    ``classes``: "top<k>", an id, or ids ``(k,)`` for every picture; None: the top three. ``size``: the whole picture
    resized to ``size`` x ``size``, or to what a size policy says; None: at its native size. Evidence is drawn on the
    picture at its own resolution (up to 640 pixels a side), centred against the mean of all classes. A file that
    cannot be read or explained becomes a row of errors.csv. ``overwrite`` allows a folder that holds an earlier
    explanation. The request is checked before the folder is touched, and what was finished has its page also after an
    interruption. ``probabilities``: "sigmoid" where logits are judged one by one
    (several labels). Neither the classifier nor any input file is changed.
    """
    out, paths = Path(out), [paths] if isinstance(paths, str | Path) else list(paths)
    inputs, wanted = _check_request(classifier, classes, size)
    found, old = inputs.find(paths), earlier_figures(out)
    # Figures of an earlier explanation inside a searched folder are not explained again.
    files = [file for file in found.files if file.resolve() not in old]
    lost = sorted(str(path) for path in paths if Path(path).resolve() in old)
    if lost and overwrite:
        raise DataError("explain", f"{inputs.word}s outside what is replaced", lost[0], "Choose another --out.")
    if not files and not found.unlisted:
        raise DataError("explain", f"at least one {inputs.word}", f"none in {', '.join(map(str, paths)) or 'no path'}")
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
            for number, file in enumerate(_progress(files, inputs.word)):
                try:
                    item = inputs.read(file)
                    evidence = _evidence(classifier, inputs, item)
                except (DataError, EvidenceError) as error:
                    errors.append((str(file), str(error)))
                    faults.writerow(errors[-1])
                    continue
                ids, _ = choose(wanted, evidence.logits)
                chosen = evidence.centered().select(ids)
                rows = list(
                    _predictions(classifier, item, evidence, chosen, f"pictures/{number:05d}.png", probabilities)
                )
                save_drawing(out / rows[0].figure, item, inputs, _panels(evidence, chosen, rows))
                _store(archive, f"{number:05d}", evidence.select(chosen.classes), item, inputs)
                save_beside((out / rows[0].figure).with_suffix(""), item, inputs, evidence.select(chosen.classes))
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
            word=inputs.word,
        )
        write_page(out / "index.html", result, size)
    return result


def _check_request(
    classifier: PooledClassifier, classes: Classes | Sequence[int] | None, size: int | SizePolicy | None
) -> tuple[InputKind, Classes]:
    """How inputs are made, and the classes to ask for; raises where nothing could be explained as asked."""
    for package in ("matplotlib", "jinja2", "tqdm"):
        need(package, "images", "explain")
    spec = classifier.input_spec
    if isinstance(spec, InputKind):
        return spec, _check_classes(classifier, classes, _outputs(classifier, spec))
    if spec is None or len(spec.mean) != 3 or len(spec.std) != 3:
        hint = "Pass input_spec=InputSpec(size, mean, std) with three channels when you build it."
        raise DataError("explain", "a classifier that says how RGB pictures are prepared", f"input_spec={spec}", hint)
    if not (size is None or callable(size)) and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise DataError("explain", "`size` as a positive number of pixels, or None for native size", repr(size))
    inputs = Pictures(spec, Fixed(size) if isinstance(size, int) else Native() if size is None else size)
    shown = Pictures(replace(spec, size=size)) if isinstance(size, int) else inputs
    return inputs, _check_classes(classifier, classes, _outputs(classifier, shown))


def _check_classes(classifier: PooledClassifier, classes: Classes | Sequence[int] | None, count: int) -> Classes:
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


def _outputs(classifier: PooledClassifier, inputs: InputKind) -> int:
    """How many logits the classifier gives."""
    with evaluating(classifier), torch.inference_mode():
        return int(logits(classifier, [_placed(classifier, part) for part in inputs.stand_in()]).shape[1])


def _placed(classifier: PooledClassifier, part: Any) -> Any:
    """The part on the classifier's device, a tensor also in its dtype."""
    first = next(classifier.parameters(), torch.zeros(()))
    return part.to(first.device, first.dtype) if isinstance(part, Tensor) else part.to(first.device)


def _evidence(classifier: PooledClassifier, inputs: InputKind, item: Any) -> Evidence:
    """Raw evidence of one sample for all classes, checked; DataError where the network cannot take it."""
    sample = inputs.prepare(item)
    (part,) = inputs.collate([sample])
    try:
        with torch.inference_mode():
            evidence = classifier.evidence(_placed(classifier, part), "all").detach()
    except (RuntimeError, MemoryError, AdoptionError, LayoutError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        size = tuple(part.shape) if isinstance(part, Tensor) else inputs.size(sample)
        raise DataError(str(item.path), f"an input the network can take, {size}", reason) from error
    if not bool(evidence.logits.isfinite().all()):
        raise DataError(str(item.path), "finite logits", "NaN or Inf")
    return evidence.check()


def _predictions(
    classifier: PooledClassifier, item: Any, evidence: Evidence, chosen: Evidence, figure: str, form: Probabilities
) -> Iterator[Prediction]:
    logit = evidence.logits[0].double()
    probabilities = logit.sigmoid() if form == "sigmoid" else logit.softmax(0)
    residuals = evidence.residual()[0]
    # Of one sample: dense (1, K, *S), or ragged rows (T, K).
    maps = (chosen.maps[0].flatten(1) if chosen.maps.ndim > 2 else chosen.maps.T).double()
    logits = evidence.logits[0]
    for column, class_id in enumerate(chosen.classes[0].tolist()):
        yield Prediction(
            path=str(item.path),
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
            notes="; ".join(item.notes),
        )


def _panels(evidence: Evidence, chosen: Evidence, rows: list[Prediction]) -> list[tuple[Evidence, str]]:
    """One for each class, and one that says what tells the first from the second."""
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
    return panels


def _store(archive: ZipFile, key: str, evidence: Evidence, item: Any, inputs: InputKind) -> None:
    """Raw maps, classes, logits and offset of one sample, under ``key/name`` for ``numpy.load``."""
    arrays: dict[str, NDArray[np.generic]] = {
        name: getattr(evidence, name)[0].float().numpy(force=True) for name in ("logits", "offset")
    }
    maps = evidence.maps[0] if evidence.maps.ndim > 2 else evidence.maps.T
    arrays["maps"] = maps.float().numpy(force=True)
    arrays["classes"] = evidence.classes[0].numpy(force=True)
    arrays["path"] = np.array(str(item.path))
    if isinstance(inputs, Pictures):
        arrays["picture_size"] = np.array(item.pixels.shape[:2])
    for name, array in arrays.items():
        with archive.open(f"{key}/{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, array, allow_pickle=False)


def _progress(files: list[Path], unit: str) -> Iterable[Path]:
    from tqdm import tqdm

    # None: a bar on a terminal, nothing in a log.
    bar: Iterable[Path] = tqdm(files, unit=unit, disable=None if len(files) > 1 else True)
    return bar
