"""Two processes are one: the same metrics exactly, the same gradients to rounding."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("shares")
    shares = [(0, 1), (0, 2), (1, 2)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.share", str(rank), str(ranks), str(folder)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, ranks in shares
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    return {f"{rank}/{ranks}": load_file(folder / f"{rank}-of-{ranks}.safetensors") for rank, ranks in shares}


def test_metrics_are_exactly_those_of_one_process(found: dict[str, dict[str, Tensor]]) -> None:
    alone, first, second = (entry["judged"].tolist() for entry in found.values())
    assert alone[0] == 33
    assert 0 < alone[1] < 1
    assert first == alone
    assert second == alone


def test_gradients_and_curves_agree_to_rounding(found: dict[str, dict[str, Tensor]]) -> None:
    """Also with 6 samples on one side and 5 on the other, accumulated, clipped and averaged."""
    alone, first, second = found.values()
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-6)
        if not name.endswith("rows") or name == "judged":
            assert torch.equal(first[name], second[name])
    assert float(alone["gradient.tail.weight"].abs().max()) > 1e-2
