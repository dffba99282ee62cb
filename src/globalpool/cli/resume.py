"""``globalpool resume``."""

import json
from dataclasses import fields, replace
from pathlib import Path

from globalpool.classifier import InputSpec
from globalpool.cli.options import ResumeOptions, TrainOptions
from globalpool.cli.prepared import Prepared, built, join_processes
from globalpool.cli.sizes import size_policy
from globalpool.cli.train import go_on, print_data
from globalpool.data import read_examples, read_split
from globalpool.errors import TrainingError
from globalpool.training import RunFolder, processes
from globalpool.training.run_folder import ENVIRONMENT, SPLIT, environment
from globalpool.training.saved import run_architecture


def run(options: ResumeOptions) -> int:
    """Continue a run, or finish its report where training was done."""
    folder = RunFolder.open(options.run)
    config = folder.config()
    architecture = run_architecture(folder)
    try:
        known = {field.name for field in fields(TrainOptions)}
        asked = TrainOptions(**{name: value for name, value in config["options"].items() if name in known})
        sizes = size_policy(config["sizes"])
    except (KeyError, TypeError, AttributeError) as error:
        got = f"{type(error).__name__}: {error}"
        raise TrainingError(
            str(folder.path), "a run of globalpool train", got, "Others are resumed in Python."
        ) from error
    asked = replace(asked, out=options.run, data=options.data or asked.data)
    if not Path(asked.data).exists():
        hint = "Where the data were moved, say --data."
        raise TrainingError("resume", "the data that the run began with", f"nothing at {asked.data}", hint)
    join_processes(asked)
    kind = None if isinstance(architecture.input, InputSpec) else type(architecture.input)
    data = read_examples(asked.data, kind)
    split = read_split(folder.path / SPLIT, data)
    prepared = Prepared(asked, data, split, architecture, sizes)
    if processes.rank() == 0:
        print_data(prepared)
        _print_differences(folder.path)
    return go_on(folder, prepared, built(asked, architecture))


def _print_differences(run: Path) -> None:
    """What may keep the curve from being bit for bit that of a run never interrupted."""
    before, now = json.loads((run / ENVIRONMENT).read_text(encoding="utf-8")), environment()
    odd = [name for name in now if now[name] != before.get(name)]
    if odd:
        print(f"note: another {', '.join(odd)} than at the beginning: the numbers may differ in their last digits")
