"""SIGKILL at any moment: what is left loads, and the run that goes on is the one that was never killed."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from globalpool.errors import TrainingError
from globalpool.training import RunFolder, TrainingSettings, train
from globalpool.training.files import read_tensors
from tests.training.killed import SETTINGS
from tests.training.tiny import Coloured, tiny

ROOT = Path(__file__).parents[2]
KILLS = 2


def start(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.training.killed", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the other process
    train(tiny(), Coloured(12, 4), Coloured(6), SETTINGS, RunFolder.create(whole, {}))
    torch.set_num_threads(threads)
    moments = random.Random(0)
    for _ in range(KILLS):
        process = start(cut)
        assert process.stdout is not None
        for _ in range(moments.randint(1, 8)):
            process.stdout.readline()  # one an epoch
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        process.communicate()
        for path in cut.rglob("[!.]*.safetensors"):
            read_tensors(path)
        assert len(RunFolder.open(cut).epochs()) < SETTINGS.epochs, "killed too late to mean anything"
    process = start(cut)
    lines = process.communicate()[0].splitlines()
    assert process.returncode == 0
    assert 0 < len(lines) < SETTINGS.epochs
    for name in ("metrics.csv", "best.safetensors", "last.safetensors"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert sorted(path.name for path in cut.rglob("*")) == sorted(path.name for path in whole.rglob("*"))


QUICK = TrainingSettings(epochs=4)


def test_damaged_checkpoints_are_passed_over(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "damaged"
    for path in (whole, folder):
        train(tiny(), Coloured(), Coloured(12), QUICK, RunFolder.create(path, {}))
    kept = sorted((folder / "checkpoints").glob("*.safetensors"))
    assert [path.name for path in kept] == ["000003.safetensors", "000004.safetensors"]
    content = bytearray(kept[1].read_bytes())
    content[-9] ^= 1
    kept[1].write_bytes(content)
    run = RunFolder.open(folder)
    result = train(tiny(), Coloured(), Coloured(12), QUICK, run)
    expected = (
        "000004.safetensors: expected contents with the SHA-256 written beside them; got contents with another one."
    )
    assert len(run.warnings) == 1
    assert run.warnings[0].endswith(f"{expected} The checkpoint before it is taken.")
    assert len(result.epochs) == 4
    for name in ("metrics.csv", "best.safetensors", "last.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        TrainingError, match=r"expected a whole checkpoint; got .*000003.*Train again into another folder"
    ):
        train(tiny(), Coloured(), Coloured(12), QUICK, RunFolder.open(folder))


def test_no_run_is_overwritten_and_other_folders_are_no_runs(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", {})
    with pytest.raises(
        TrainingError, match=r"new or empty folder; got an earlier run. Continue it by globalpool resume"
    ):
        RunFolder.create(tmp_path / "run", {})
    with pytest.raises(TrainingError, match=r"new or empty folder; got other files there. Choose another --out"):
        RunFolder.create(tmp_path, {})
    with pytest.raises(TrainingError, match=r"a folder that globalpool train wrote; got no config.json in it"):
        RunFolder.open(tmp_path)
    with pytest.raises(TrainingError, match="a folder that globalpool train wrote; got no such folder"):
        RunFolder.open(tmp_path / "gone")
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(
        TrainingError, match=r"config.json: expected the settings of a run, 'globalpool run 1'; got Key"
    ):
        RunFolder.open(tmp_path / "run")
