"""``globalpool train``."""

from pathlib import Path

from globalpool.classifier import PooledClassifier
from globalpool.cli.finish import finish
from globalpool.cli.memory import tell_memory
from globalpool.cli.options import TrainOptions
from globalpool.cli.prepared import Prepared, built, check_names, join_processes, kind_asked, leave_processes, planned
from globalpool.data import read_examples, split_examples, write_split
from globalpool.models import TokenTrunk
from globalpool.surgery.head_fit import Method
from globalpool.training import (
    BinaryCrossEntropy,
    CrossEntropy,
    Epoch,
    RunFolder,
    TrainingResult,
    processes,
    train,
)
from globalpool.training.frozen import train_head
from globalpool.training.processes import device_of


def run(options: TrainOptions) -> int:
    """Train, judge on what was held out, and write the run's folder."""
    check_names(options)
    join_processes(options)
    if processes.rank() == 0:
        RunFolder.check_new(Path(options.out))
    kind = kind_asked(options)
    data = read_examples(options.data, kind)
    split = split_examples(data, validation=options.validation, test=options.test)
    architecture, sizes = planned(options, data, split, kind)
    prepared = Prepared(options, data, split, architecture, sizes)
    classifier = built(options, architecture)  # what cannot be built leaves no folder behind
    if processes.rank() == 0:
        print_data(prepared)
        RunFolder.create(options.out, prepared.config(), lambda file: write_split(file, data, split))
    processes.wait()
    return go_on(RunFolder.open(options.out), prepared, classifier)


def go_on(folder: RunFolder, prepared: Prepared, classifier: PooledClassifier) -> int:
    """Train from where the folder is, and finish it."""
    fit = _fit_head if prepared.options.mode == "frozen" else _train
    if processes.rank() == 0 and prepared.options.mode == "full":
        tell_memory(classifier, min(prepared.options.batch, len(prepared.split.train)), device_of(classifier).type)
    if processes.rank() == 0 and isinstance(classifier.trunk, TokenTrunk):
        print(f"note: {classifier.trunk.note}")
    result = fit(folder, prepared, classifier)
    if processes.rank() == 0:
        finish(folder, prepared, result)
    leave_processes()
    return 0


def _train(folder: RunFolder, prepared: Prepared, classifier: PooledClassifier) -> TrainingResult:
    plain = BinaryCrossEntropy if prepared.architecture.multi_label else CrossEntropy
    split, options = prepared.split, prepared.options
    data, judged = prepared.batches(split.train), prepared.judged(split.validation)
    return train(classifier, data, judged, options, folder, plain(options.smoothing), _print_epoch)


def _fit_head(folder: RunFolder, prepared: Prepared, classifier: PooledClassifier) -> TrainingResult:
    data, judged = prepared.judged(prepared.split.train), prepared.judged(prepared.split.validation)
    assert data is not None, "a split has pictures to train on"
    method: Method = "ridge" if prepared.architecture.multi_label else "logistic"
    result, fit = train_head(classifier, data, judged, folder, method)
    if processes.rank() == 0:
        print(f"fit: {fit.method}, strength {fit.strength:.3g}, {fit.count} {prepared.architecture.inputs.word}s")
        _print_epoch(result.epochs[0])
    return result


def print_data(prepared: Prepared) -> None:
    """What is trained on."""
    data, split = prepared.data, prepared.split
    left_out = [*data.left_out, *split.left_out]
    for path, reason in left_out[:10]:
        print(f"left out: {path}: {reason}")
    if len(left_out) > 10:
        print(f"left out: {len(left_out) - 10} more, all in split.json or by globalpool check")
    options = prepared.options
    if (
        options.mode == "frozen"
        and options.weights is None
        and prepared.architecture.trunk.name != "efficientnet_lite0"
    ):
        print("note: the trunk has RANDOM weights and keeps them; give trained ones by --weights FILE")
    parts = f"{len(split.train)} to train, {len(split.validation)} to choose, {len(split.test)} held out"
    print(f"data: {len(data.classes)} classes, {len(data)} {prepared.architecture.inputs.word}s: {parts}")


def _print_epoch(row: Epoch) -> None:
    from tqdm import tqdm

    judged = f"validation accuracy {row.validation_accuracy:.4f}, NLL {row.validation_nll:.4f}"
    with tqdm.external_write_mode():
        print(
            f"epoch {row.epoch}: train accuracy {row.train_accuracy:.4f}, loss {row.train_loss:.4f}; {judged}",
            flush=True,
        )
