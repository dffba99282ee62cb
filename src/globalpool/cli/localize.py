"""``globalpool localize``."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from globalpool.classifier import PooledClassifier
from globalpool.cli.options import LocalizeOptions
from globalpool.cli.predict import found_files, new_folder, sizes_of
from globalpool.cli.prepared import device_named
from globalpool.data import BoxedPicture, SizePolicy, read_boxes_table
from globalpool.data.box_tables import check_inside
from globalpool.data.pictures import inputs_of
from globalpool.data.tables import TABLE_SUFFIXES
from globalpool.errors import DataError, GlobalPoolError, LocalizationError
from globalpool.localize import (
    ChosenThreshold,
    Heatmaps,
    LocatedPicture,
    MapRecipe,
    choose_threshold,
    judge_localization,
    locate_files,
)
from globalpool.report.folder import open_text
from globalpool.training import RunFolder, load_run
from globalpool.training.saved import run_architecture

COLUMNS = ("path", "class", "probability", "x", "y", "width", "height", "threshold", "kind", "part")


@dataclass(frozen=True)
class _Known:
    """Located pictures of a table and their true boxes."""

    pictures: list[LocatedPicture]
    truth: list[BoxedPicture]
    recipe: MapRecipe

    @property
    def maps(self) -> Heatmaps:
        return Heatmaps(tuple(p.values for p in self.pictures if p.values is not None), self.recipe.view)

    @property
    def boxes(self) -> list[NDArray[np.float64]]:
        return [own.boxes for own in self.truth]


class _Writer:
    """boxes.csv, errors.csv and masks, written as they come."""

    def __init__(
        self, stack: ExitStack, out: Path, classifier: PooledClassifier, multi_label: bool, masks: bool, keep: Any
    ) -> None:
        self.classes, self.multi_label, self.keep = classifier.labels or (), multi_label, keep
        self.out, self.masks, self.done, self.errors = out, masks, 0, 0
        self.table = csv.writer(stack.enter_context(open_text(out / "boxes.csv")))
        self.table.writerow(COLUMNS)
        self.faults = csv.writer(stack.enter_context(open_text(out / "errors.csv")))
        self.faults.writerow(("path", "reason"))
        if masks:
            (out / "masks").mkdir()

    def fault(self, picture: LocatedPicture) -> None:
        self.errors += 1
        self.faults.writerow((picture.path, picture.reason))

    def write(self, picture: LocatedPicture, view: Any, threshold: ChosenThreshold, part: str) -> None:
        if picture.values is None or picture.logits is None:
            self.fault(picture)
            return
        self.done += 1
        logits = picture.logits.double()
        probability = float((logits.sigmoid() if self.multi_label else logits.softmax(0))[picture.class_id])
        found = threshold.foreground(Heatmaps((picture.values,), view))
        boxes: Sequence[Any] = found.boxes(self.keep)[0].tolist() or [("", "", "", "")]
        for box in boxes:
            name = self.classes[picture.class_id]
            self.table.writerow((picture.path, name, probability, *box, threshold.value, threshold.kind, part))
        if self.masks:
            mask = Image.fromarray(found.masks[0].astype(np.uint8) * 255)
            mask.save(self.out / "masks" / f"{self.done:06d}_{picture.path.stem}.png")


def run(inputs: list[str], masks: bool, options: LocalizeOptions) -> int:
    """Write a row a box; where true boxes are known, print how well they are met. 1 when no picture could be read."""
    folder = RunFolder.open(options.run)
    classifier = load_run(folder.path, weights=options.weights).to(device_named(options.device))
    kind = inputs_of(classifier)
    if kind.kind != "pictures":
        hint = "globalpool explain shows where the evidence lies in other files."
        raise GlobalPoolError("localize", "a run of pictures", f"{folder.path}, which takes {kind.word}s", hint)
    if not 0 < options.share < 1:
        raise GlobalPoolError("--share", "a share between 0 and 1", str(options.share))
    if options.batch < 1:
        raise GlobalPoolError("--batch", "1 or more", str(options.batch))
    recipe = MapRecipe(options.evidence, _scales(options.scales))
    sizes = sizes_of(folder, options.size)
    table = read_boxes_table(inputs[0]) if len(inputs) == 1 and _is_table(inputs[0]) else None
    files = found_files(inputs) if table is None else [entry.path for entry in table]
    other = None if options.calibrate is None else read_boxes_table(options.calibrate)
    rule = options.threshold
    if rule == "zero" and recipe.view == "raw":
        hint = "The zero of raw evidence means nothing: take --evidence contrast or centered."
        raise LocalizationError("--threshold", "contrast or centered evidence for zero", "raw evidence", hint)
    if rule is None:
        rule = "conformal" if table is not None or other is not None else "zero" if recipe.view != "raw" else None
    if rule is None or (rule in ("conformal", "boxes") and table is None and other is None):
        raise LocalizationError(
            "--threshold", "pictures with known boxes", "none", "Give --calibrate CSV, or --threshold with a number."
        )
    if rule == "oracle" and table is None:
        raise LocalizationError("--threshold", "a table of true boxes as INPUT for oracle", "pictures without boxes")
    if not isinstance(rule, str):
        choose_threshold(rule)  # says at once what is wrong with the number
    out = new_folder(Path(options.out))
    located = _Locator(classifier, sizes, recipe, options.batch)
    with ExitStack() as stack:
        multi_label = run_architecture(folder).multi_label
        writer = _Writer(stack, out, classifier, multi_label, masks, options.keep)
        validation = None if other is None else located.known(other, writer)
        if table is None:
            known = None if validation is None else (validation.maps, validation.boxes)
            threshold = choose_threshold(rule, known, alpha=options.alpha)
            if options.threshold is None and rule == "zero":
                print("note: no boxes to choose a threshold by: foreground is evidence > 0, wider than the object")
            for picture in located.progress(files):
                writer.write(picture, recipe.view, threshold, "")
        else:
            threshold = _judge(located.known(table, writer), validation, rule, options, writer)
    print(f"{writer.done} pictures: {out / 'boxes.csv'}; {threshold}")
    if writer.errors:
        print(f"{writer.errors} could not be read or located: {out / 'errors.csv'}")
    return 0 if writer.done else 1


def _judge(
    known: _Known, validation: _Known | None, rule: Any, options: LocalizeOptions, writer: _Writer
) -> ChosenThreshold:
    """Boxes of all pictures of the table, scores of those on which no threshold was chosen."""
    count = len(known.pictures)
    if not count:
        raise DataError("localize", "a picture of the table that can be read", "none", "See errors.csv.")
    apart: set[int] = set()
    if validation is None and isinstance(rule, str) and rule != "oracle":
        order = np.random.default_rng(options.seed).permutation(count)
        apart = set(order[: round(options.share * count)].tolist())
        if not 0 < len(apart) < count:
            hint = "Give more pictures, another --share, or --calibrate CSV."
            raise DataError("localize", "pictures to choose a threshold on and pictures to judge", f"{count}", hint)
        validation = _part(known, sorted(apart))
    judged = _part(known, [row for row in range(count) if row not in apart])
    chosen = None if validation is None else (validation.maps, validation.boxes)
    on = (judged.maps, judged.boxes) if rule == "oracle" else chosen
    threshold = choose_threshold(rule, on, alpha=options.alpha)
    for row, picture in enumerate(known.pictures):
        writer.write(picture, known.recipe.view, threshold, "calibration" if row in apart else "judged")
    given = chosen if isinstance(rule, str) and rule != "oracle" else None
    scores = judge_localization(judged.maps, judged.boxes, threshold, validation=given)
    text = f"{scores}\n{_said(judged, writer.classes)}"
    with open_text(writer.out / "scores.txt") as file:
        file.write(text + "\n")
    print(text)
    return threshold


def _said(judged: _Known, classes: Sequence[str]) -> str:
    """How often the class whose map is judged is the right one."""
    right = [
        classes[picture.class_id] == own.label
        for picture, own in zip(judged.pictures, judged.truth, strict=True)
        if own.label is not None
    ]
    share = f": right in {sum(right)} of {len(right)} pictures" if right else ""
    return f"maps are those of the class that is said{share}"


def _part(known: _Known, rows: list[int]) -> _Known:
    return _Known([known.pictures[row] for row in rows], [known.truth[row] for row in rows], known.recipe)


@dataclass(frozen=True)
class _Locator:
    classifier: PooledClassifier
    sizes: SizePolicy
    recipe: MapRecipe
    batch: int

    def progress(self, files: list[Path]) -> Iterable[LocatedPicture]:
        from tqdm import tqdm

        answers: Iterator[LocatedPicture] = locate_files(self.classifier, files, self.sizes, self.recipe, self.batch)
        bar: Iterable[LocatedPicture] = tqdm(
            answers, total=len(files), unit="picture", disable=None if len(files) > 1 else True
        )
        return bar

    def known(self, table: list[BoxedPicture], writer: _Writer) -> _Known:
        """Those that can be read, and lie around their boxes."""
        pictures, truth = [], []
        for picture, own in zip(self.progress([entry.path for entry in table]), table, strict=True):
            if picture.values is None:
                writer.fault(picture)
                continue
            check_inside(own, *picture.values.shape)
            pictures.append(picture)
            truth.append(own)
        return _Known(pictures, truth, self.recipe)


def _is_table(entry: str) -> bool:
    return Path(entry).suffix.lower() in TABLE_SUFFIXES and not Path(entry).is_dir()


def _scales(text: str) -> tuple[float, ...]:
    try:
        scales = tuple(float(word) for word in text.split(","))
    except ValueError:
        scales = ()
    if not scales or not all(0.05 <= scale <= 20 for scale in scales):
        raise GlobalPoolError("--scales", "factors from 0.05 to 20 separated by commas, as in 0.75,1,1.5", repr(text))
    return scales
