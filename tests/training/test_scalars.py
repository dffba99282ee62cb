"""The curve for TensorBoard, read back by TensorBoard's own reader: metrics.csv, whatever happened in between."""

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from globalpool.training import Epoch, RunFolder, TrainingSettings, train
from globalpool.training.scalars import TAGS, scalars
from tests.training.tiny import Coloured, tiny


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    reader = EventAccumulator(str(folder)).Reload()
    return {tag: [(one.step, one.value) for one in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def expected(run: RunFolder) -> dict[str, list[tuple[int, Any]]]:
    return {
        tag: [(row.epoch, pytest.approx(getattr(row, name), rel=1e-6)) for row in run.epochs()]
        for tag, name in TAGS.items()
    }


def test_a_resumed_run_has_each_point_once(tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=4, tensorboard=True)
    run = RunFolder.create(tmp_path / "run", {})
    train(tiny(), Coloured(), Coloured(6), settings, run)
    found = points(run.path / "tensorboard")
    assert found == expected(run)
    assert [step for step, _ in found["nll/validation"]] == [1, 2, 3, 4]
    # Killed in its fourth epoch: three are kept, four were told.
    (run.path / "checkpoints" / "000004.safetensors").unlink()
    train(tiny(), Coloured(), Coloured(6), settings, RunFolder.open(run.path))
    assert points(run.path / "tensorboard") == expected(run)


def test_what_was_not_measured_has_no_point(tmp_path: Path) -> None:
    nothing = float("nan")
    row = Epoch(1, 5, 0.25, 2.0, nothing, nothing, nothing, 0.5)
    with scalars(tmp_path, [row]) as found:
        assert points(tmp_path) == {
            "loss/train": [(1, 2.0)],
            "nll/validation": [(1, 0.5)],
            "learning_rate": [(1, 0.25)],
        }
        found.add(Epoch(2, 10, 0.125, 1.0, nothing, nothing, nothing, nothing))
        assert points(tmp_path)["learning_rate"] == [(1, 0.25), (2, 0.125)], "on disk at once"
