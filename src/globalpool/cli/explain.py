"""``globalpool explain``."""

import math
from pathlib import Path

from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.cli.names import classes_named
from globalpool.cli.networks import classifier_of, input_size, network_named
from globalpool.cli.options import ExplainOptions
from globalpool.data import photographs
from globalpool.errors import GlobalPoolError
from globalpool.report import Explanation, explain
from globalpool.training.run_folder import CONFIG


def run(pictures: list[str], options: ExplainOptions) -> int:
    """Explain the pictures and print the table; 1 when none could be read."""
    first = Path(pictures[0]) if pictures else None
    if first is not None and first.is_dir() and (first / CONFIG).is_file() and options.model != pictures[0]:
        hint = f"Write globalpool explain FILES --model {first}."
        raise GlobalPoolError("explain", "files to explain, and a run by --model", f"the run {first} as a file", hint)
    network = network_named(options.model, options.weights, options.architecture)
    if isinstance(network.spec, InputSpec):
        given = None if options.size == "native" else options.size
        classifier = classifier_of(network, input_size(network, given))
        size = None if options.size == "native" else input_size(network, given)
        sizes = network.sizes if options.size is None and network.sizes is not None else size
    else:
        if options.size is not None or not pictures:
            word = network.spec.word
            got = f"--size {options.size}" if options.size is not None else f"no {word}"
            raise GlobalPoolError("explain", f"{word}s to explain, at their own size", got)
        assert isinstance(network.module, PooledClassifier), "runs are"
        classifier, sizes = network.module, None
    print(*(f"note: {note}\n" for note in network.notes), sep="", end="")
    explanation = explain(
        classifier,
        pictures or photographs(),
        options.out,
        classes=None if options.classes is None else classes_named(options.classes, classifier.labels),
        size=sizes,
        overwrite=options.overwrite,
        probabilities="sigmoid" if network.multi_label else "softmax",
    )
    print_table(explanation)
    return 0 if explanation.predictions else 1


def print_table(explanation: Explanation) -> None:
    """The predictions, the proof and where everything lies."""
    names = [Path(row.path).name for row in explanation.predictions]
    wide = max([len(name) for name in names] + [len(explanation.word)])
    label = max([len(row.label) for row in explanation.predictions] + [5])
    head = f"{explanation.word:{wide}}  {'class':{label}}  {'p':>5}  {'logit':>7}"
    print(f"{head} = {'for':>7} {'against':>8} {'offset':>7}   residual")
    above = ""
    for name, row in zip(names, explanation.predictions, strict=True):
        print(
            f"{name if row.figure != above else '':{wide}}  {row.label:{label}}  {row.probability:5.3f}  "
            f"{row.centered_logit:+7.3f} = {row.evidence_for:+7.3f} {row.evidence_against:+8.3f} {row.offset:+7.3f}   "
            f"{row.residual:.1e}"
        )
        above = row.figure
    share = explanation.offset_share
    print()
    print("logit, for, against and offset are compared with the mean of all classes")
    print(f"evidence: {explanation.kind or 'none'}; largest residual {explanation.residual:.1e} logits")
    if not math.isnan(share):
        print(f"offset: {100 * share:.1f} % of the logits' variation between {explanation.word}s")
    for path, reason in explanation.errors[:10]:
        print(f"not explained: {reason}" if path in reason else f"not explained: {path}: {reason}")
    if len(explanation.errors) > 10:
        print(f"not explained: {len(explanation.errors) - 10} more, see errors.csv")
    if explanation.passed_over:
        count = len(explanation.passed_over)
        print(f"passed over: {count} files without the suffix of a {explanation.word}, named in the report")
    print(f"report: {explanation.out / 'index.html'}")
