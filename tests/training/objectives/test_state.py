"""Objectives with parameters or state of their own, through checkpoints and over two processes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.objectives.several import made, run
from tests.training.tiny import tiny

ROOT = Path(__file__).parents[3]
NAMES = ("MeanTeacher", "VICReg")


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_is_the_one_never_interrupted(name: str, tmp_path: Path) -> None:
    """Bit for bit, the objective's own numbers too: the last checkpoint holds them."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(name, whole)
    shutil.copytree(whole, cut)
    last = Path("checkpoints") / "000003.safetensors"
    (cut / last).unlink()
    _, objective, _ = run(name, cut)
    for file in ("metrics.csv", "best.safetensors", "last.safetensors"):
        assert (cut / file).read_bytes() == (whole / file).read_bytes()
    before, after = load_file(whole / last), load_file(cut / last)
    own = [key for key in after if key.startswith("state/") and "objective." in key]
    assert len(own) >= len(list(objective.parameters()))
    for key in after:
        assert torch.equal(after[key], before[key]) or "duration" in key, key


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_stay_one_model(name: str, tmp_path: Path) -> None:
    """Each sees its own samples and views; weights, the teacher and the expander are those of both, bit for bit."""
    command = [sys.executable, "-m", "tests.training.objectives.several", name]
    running = [
        subprocess.Popen([*command, str(rank), "2", str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    start = tiny(norm=False)
    begin = {f"classifier.{key}": value for key, value in start.state_dict().items()}
    begin |= {f"objective.{key}": value for key, value in made(name, start).named_parameters()}
    assert set(begin) <= set(first)
    for key, value in begin.items():
        assert torch.equal(first[key], second[key]), key
        if "tail" not in key or name == "MeanTeacher":
            assert not torch.equal(first[key], value), f"{key} was trained"
    assert torch.equal(first["validation"], second["validation"])
