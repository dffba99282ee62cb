"""Two processes in one run, and starts that were cut short: a sentence, and a folder that can be used again."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from globalpool.errors import TrainingError
from globalpool.training import RunFolder, TrainingSettings, load_run, train
from tests.training.holding import SETTINGS
from tests.training.tiny import Coloured, tiny

ROOT = Path(__file__).parents[2]


@contextmanager
def at_work(stage: str, folder: Path) -> Iterator[int]:
    """Another process at work in ``folder``, killed (by SIGKILL) at the end."""
    command = [sys.executable, "-m", "tests.training.holding", stage, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
            yield process.pid
        finally:
            process.kill()


def test_two_processes_do_not_train_one_run(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "run"
    train(tiny(), Coloured(), Coloured(6), SETTINGS, RunFolder.create(whole, {}))
    with at_work("train", folder) as process:
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        message = rf"expected a run that nobody is working on; got one in which process {process} is at work\. Wait"
        with pytest.raises(TrainingError, match=message):
            train(tiny(), Coloured(), Coloured(6), SETTINGS, RunFolder.open(folder))
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    result = train(tiny(), Coloured(), Coloured(6), SETTINGS, RunFolder.open(folder))
    assert len(result.epochs) == 3
    for name in ("metrics.csv", "best.safetensors", "last.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_nor_does_one_process_twice(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    with run.alone():
        with (
            pytest.raises(TrainingError, match=r"got one in which this process itself is at work"),
            RunFolder.open(tmp_path / "run").alone(),
        ):
            pass
        with at_work_elsewhere(tmp_path / "run") as text:
            assert re.search(r"TrainingError: .* got one in which process \d+ is at work", text)
    with run.alone():
        pass


@contextmanager
def at_work_elsewhere(folder: Path) -> Iterator[str]:
    """What another process says when it would work in ``folder`` now."""
    code = f"from globalpool.training import RunFolder\nwith RunFolder.open({str(folder)!r}).alone(): pass"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    yield done.stderr


def test_a_start_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with (
        at_work("start", folder) as process,
        pytest.raises(TrainingError, match=rf"got one in which process {process} is at work"),
    ):
        RunFolder.create(folder, {})
    (folder / ".config.json.1.part").write_bytes(b'{"form')
    (folder / "split.json").write_bytes(b"of the start that was cut short")
    with pytest.raises(
        TrainingError, match=r"got a start that was cut short, without config.json\. Start it again, by"
    ):
        RunFolder.open(folder)
    run = RunFolder.create(folder, {"mine": 1})
    assert run.config()["mine"] == 1
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "config.json", "environment.json"]


def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path: Path) -> None:
    for number, name in enumerate(("notes.txt", "checkpoints/000001.safetensors", "best.safetensors")):
        folder = tmp_path / str(number)
        (folder / "checkpoints").mkdir(parents=True)
        (folder / name).write_bytes(b"somebody's")
        with pytest.raises(TrainingError, match=r"expected a new or empty folder; got other files there"):
            RunFolder.create(folder, {})
        assert (folder / name).read_bytes() == b"somebody's"


def test_a_run_without_an_epoch_says_so(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", {})
    message = (
        r"expected a run whose first epoch is done; got no best.safetensors in it. Train it on, by globalpool resume"
    )
    with pytest.raises(TrainingError, match=message):
        load_run(tmp_path / "run", tiny())


def test_points_need_a_folder() -> None:
    with pytest.raises(TrainingError, match=r"tensorboard: expected a run folder to write to; got none"):
        train(tiny(), Coloured(), None, TrainingSettings(epochs=1, tensorboard=True))
