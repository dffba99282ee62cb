"""A run's classifier, loaded from its folder alone."""

from pathlib import Path
from typing import Literal

from globalpool.classifier import PooledClassifier
from globalpool.errors import TrainingError
from globalpool.training.architecture import Architecture
from globalpool.training.files import read_tensors
from globalpool.training.run_folder import BEST, LAST, RunFolder


def load_run(
    run: str | Path, classifier: PooledClassifier | None = None, weights: Literal["best", "last"] = "best"
) -> PooledClassifier:
    """The classifier of a run folder with its best or last weights, in eval mode, on the CPU.

    ``classifier``: one built as in the run, for runs whose config does not say how (training from Python without
    ``Architecture.record`` in the config); its weights are replaced. TrainingError where it is needed and missing or
    does not fit; DataError for damaged weights.
    """
    folder = RunFolder.open(run)
    if classifier is None:
        classifier = run_architecture(folder).build()
    file = folder.path / (BEST if weights == "best" else LAST)
    if not file.is_file():
        hint = f"Train it on, by globalpool resume {folder.path}."
        raise TrainingError(str(folder.path), "a run whose first epoch is done", f"no {file.name} in it", hint)
    tensors = read_tensors(file).tensors
    expected = classifier.state_dict()
    odd = sorted(expected.keys() ^ tensors.keys()) or [
        name for name, tensor in expected.items() if tensor.shape != tensors[name].shape
    ]
    if odd:
        got = f"a difference in {', '.join(odd[:3])}" + (f" and {len(odd) - 3} more" if odd[3:] else "")
        raise TrainingError(str(file), "the weights of the classifier the run describes", got)
    classifier.load_state_dict(tensors)
    return classifier.eval()


def run_architecture(folder: RunFolder) -> Architecture:
    """How the run's classifier is built; TrainingError where its config does not say."""
    record = folder.config().get("architecture")
    if record is None:
        hint = "Pass the classifier it was trained with: load_run(run, classifier)."
        raise TrainingError(str(folder.path), "a config that says how the classifier is built", "none", hint)
    try:
        return Architecture.read(record)
    except (KeyError, TypeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        raise TrainingError(str(folder.path), "a config that says how the classifier is built", got) from error
