"""``globalpool predict``."""

import csv
import glob
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from globalpool.cli.options import PredictOptions
from globalpool.cli.prepared import device_named
from globalpool.cli.sizes import size_policy
from globalpool.data import Fixed, Native, SizePolicy
from globalpool.data.kinds import InputKind
from globalpool.data.pictures import Pictures, inputs_of
from globalpool.errors import DataError, GlobalPoolError
from globalpool.report import explain
from globalpool.report.explain import Probabilities
from globalpool.report.folder import open_text
from globalpool.training import RunFolder, load_run
from globalpool.training.predict_files import Said, predict_files
from globalpool.training.saved import run_architecture


def run(inputs: list[str], evidence: bool, options: PredictOptions) -> int:
    """Write a row a picture (and class); 1 when no picture could be read."""
    folder = RunFolder.open(options.run)
    classifier = load_run(folder.path, weights=options.weights).to(device_named(options.device))
    multi_label = run_architecture(folder).multi_label
    classes = classifier.labels or ()
    for name, value, most in (("--top", options.top, len(classes)), ("--batch", options.batch, sys.maxsize)):
        if not 1 <= value <= most:
            got = f"{value}" + (f", of {most} classes" if name == "--top" else "")
            raise GlobalPoolError(name, "1 or more" + (", at most the classes" if name == "--top" else ""), got)
    sizes = sizes_of(folder, options.size)
    kind = inputs_of(classifier, sizes)
    if options.size is not None and kind.kind != "pictures":
        raise GlobalPoolError("--size", f"a size for pictures alone, not {kind.word}s", str(options.size))
    files = found_files(inputs, type(kind))
    out = new_folder(Path(options.out))
    done, errors = 0, 0
    with ExitStack() as stack:
        write = _writer(stack, out, options.format)
        faults = csv.writer(stack.enter_context(open_text(out / "errors.csv")))
        faults.writerow(("path", "reason"))
        for said in _progress(predict_files(classifier, files, sizes, options.batch), len(files), kind.word):
            if said.logits is None:
                errors += 1
                faults.writerow((said.path, said.reason))
                continue
            done += 1
            logits = said.logits.double()
            probabilities = logits.sigmoid() if multi_label else logits.softmax(0)
            values, ids = probabilities.topk(options.top)
            for value, label in zip(values.tolist(), ids.tolist(), strict=True):
                write(str(said.path), classes[label], value)
    print(f"{done} {kind.word}s: {out / f'predictions.{options.format}'}")
    if errors:
        print(f"{errors} could not be read or predicted: {out / 'errors.csv'}")
    if evidence and done:
        form: Probabilities = "sigmoid" if multi_label else "softmax"
        explanation = explain(classifier, files, out / "evidence", size=sizes, probabilities=form)
        print(f"evidence: {explanation.out / 'index.html'}")
    return 0 if done else 1


def found_files(inputs: Iterable[str], kind: type[InputKind] = Pictures) -> list[Path]:
    """Files, those of ``kind`` in folders, matches of patterns, paths on standard input for ``-``; each once."""
    paths: list[str] = []
    for entry in inputs:
        if entry == "-":
            paths += [line for line in (line.rstrip("\r\n") for line in sys.stdin) if line]
        elif glob.has_magic(entry) and not Path(entry).exists():
            matched = sorted(glob.glob(entry, recursive=True))
            if not matched:
                raise DataError(entry, "a pattern that some file matches", "none", "Put it in quotes, or check it.")
            paths += matched
        else:
            paths.append(entry)
    found = kind.find(paths)
    if not found.files:
        raise DataError("predict", f"at least one {kind.word}", f"none in {', '.join(paths) or 'no path'}")
    return list(found.files)


def sizes_of(folder: RunFolder, size: int | str | None) -> SizePolicy:
    """At which size each picture goes in."""
    if isinstance(size, int):
        if size < 1:
            raise GlobalPoolError("--size", "a positive number of pixels", str(size))
        return Fixed(size)
    return Native() if size == "native" else size_policy(folder.config().get("sizes", {}))


def new_folder(out: Path) -> Path:
    """``out``, made where it is missing; DataError where it is in use."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        got = "one with other files" if out.is_dir() else "a file"
        raise DataError(str(out), "a new or empty folder", got, "Choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    return out


def _writer(stack: ExitStack, out: Path, form: str) -> Any:
    file = stack.enter_context(open_text(out / f"predictions.{form}"))
    if form == "csv":
        table = csv.writer(file)
        table.writerow(("path", "class", "probability"))
        return lambda *row: table.writerow(row)
    return lambda path, name, value: file.write(json.dumps({"path": path, "class": name, "probability": value}) + "\n")


def _progress(answers: Iterator[Said], total: int, unit: str) -> Iterable[Said]:
    from tqdm import tqdm

    bar: Iterable[Said] = tqdm(answers, total=total, unit=unit, disable=None if total > 1 else True)
    return bar
