"""``globalpool audit``."""

from collections.abc import Sequence
from pathlib import Path

from globalpool.audits import ALL, LOCALISATION, Audit, Finding, gather, run_audits
from globalpool.audits.localisation import against_boxes
from globalpool.classifier import InputSpec, PooledClassifier
from globalpool.cli.audit_options import AuditOptions
from globalpool.cli.names import guess
from globalpool.cli.networks import classifier_of, network_named
from globalpool.cli.predict import found_files, new_folder
from globalpool.data import Examples, photographs, read_boxes_table, read_examples
from globalpool.data.folders import class_folders
from globalpool.data.kinds import InputKind
from globalpool.data.pictures import Pictures
from globalpool.data.tables import TABLE_SUFFIXES
from globalpool.errors import DataError, GlobalPoolError
from globalpool.report.audits import summary, write_audit

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def run(options: AuditOptions, strict: bool) -> int:
    """Print each finding as it comes; 1 when ``strict`` and one of them failed."""
    audits, budget = chosen(options.only), seconds(options.budget)
    if options.samples < 1:
        raise GlobalPoolError("--samples", "1 or more", str(options.samples))
    out = None if options.out is None else new_folder(Path(options.out))
    network = network_named(options.model, options.weights, options.architecture)
    print(f"model: {network.name}", *(f"note: {note}" for note in network.notes), sep="\n")
    pictures = isinstance(network.spec, InputSpec)
    classifier = classifier_of(network, network.spec.size) if pictures else network.module
    assert isinstance(classifier, PooledClassifier), "runs are"
    kind = Pictures if pictures else type(network.spec)
    data = gather(
        classifier, samples_of(options.data, kind), sizes=network.sizes, samples=options.samples, seed=options.seed
    )
    if options.boxes is not None:
        audits = with_boxes(audits, options.boxes, data.ids)
    targets = "their labels" if data.labelled else "no labels the model knows: its own top classes take their place"
    print(f"data: {len(data)} {kind.word}s, {targets}", flush=True)
    findings: list[Finding] = []
    for finding in run_audits(classifier, data, audits, budget):
        findings.append(finding)
        print(*summary(finding), sep="\n", flush=True)
    spent = sum(finding.seconds for finding in findings)
    failed = [finding.audit for finding in findings if finding.verdict == "fail"]
    print(f"{len(findings)} audits in {spent:.0f} s; failed: {', '.join(failed) or 'none'}")
    if out is not None:
        page = write_audit(out, findings, network.name, f"{len(data)} {kind.word}s, {targets}")
        print(f"written: {page} and {out / 'audit.json'}")
    return 1 if strict and failed else 0


def chosen(only: str | None) -> tuple[Audit, ...]:
    """The audits of these names, in the order of ``ALL``."""
    if only is None:
        return ALL
    names = [name.strip().replace("-", "_") for name in only.split(",")]
    known = [audit.name for audit in ALL]
    for name in names:
        if name not in known:
            hint = guess(name, known)
            raise GlobalPoolError("--only", f"names among {', '.join(known)}", repr(name), hint)
    return tuple(audit for audit in ALL if audit.name in names)


def with_boxes(audits: tuple[Audit, ...], table: str, ids: Sequence[str]) -> tuple[Audit, ...]:
    """The audits, that of localisation against the true boxes that a table has of the samples ``ids``, their paths."""
    known = {entry.path.resolve(): entry.boxes for entry in read_boxes_table(table)}
    boxes = {name: known[Path(name).resolve()] for name in ids if Path(name).resolve() in known}
    if not boxes:
        raise GlobalPoolError("--boxes", "a table with boxes of these pictures", f"none of {len(ids)} in {table}")
    return tuple(against_boxes(boxes) if audit.name == LOCALISATION.name else audit for audit in audits)


def seconds(text: str) -> float:
    """``60s``, ``2m`` or ``90`` in seconds."""
    number, unit = (text[:-1], UNITS[text[-1]]) if text and text[-1] in UNITS else (text, 1.0)
    try:
        found = float(number) * unit
    except ValueError:
        found = float("nan")
    if not 0 < found < float("inf"):
        raise GlobalPoolError("--budget", "a positive time, as in 60s or 3m", repr(text))
    return found


def samples_of(paths: Sequence[str], kind: type[InputKind] = Pictures) -> Examples | list[Path]:
    """Labelled examples of one folder of classes or one table, otherwise files; without paths photographs."""
    given = None if kind is Pictures else kind
    if not paths:
        if given is not None:
            raise GlobalPoolError("audit", f"{given.word}s to audit on", "none")
        return photographs()
    if given is not None and len(paths) == 1 and (own := given.read_examples(paths[0])) is not None:
        return own
    if len(paths) == 1 and (Path(paths[0]).suffix.lower() in TABLE_SUFFIXES or _has_classes(Path(paths[0]))):
        return read_examples(Path(paths[0]), given)
    return found_files(paths, kind)


def _has_classes(path: Path) -> bool:
    if not path.is_dir():
        return False
    try:
        return bool(class_folders(path).folders)
    except DataError:  # pictures alone: no labels
        return False
