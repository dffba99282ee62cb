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


def test_statistics_of_all_processes_are_those_of_all_samples(found: dict[str, dict[str, Tensor]]) -> None:
    """Also on features far from zero, where a sum of raw products has lost its digits; the same bits everywhere."""
    alone, first, second = (entry["statistics"] for entry in found.values())
    torch.testing.assert_close(first, alone, rtol=1e-12, atol=1e-9)
    assert torch.equal(first, second)
    _, first, second = (entry["none"] for entry in found.values())
    assert torch.equal(first, second)  # the second process had no sample


@pytest.mark.parametrize("fit", ["ridge True", "ridge False", "logistic True"])
def test_a_head_fitted_by_two_processes_is_that_of_one(found: dict[str, dict[str, Tensor]], fit: str) -> None:
    """By sums (with a validation set, of which the second process has none), by vectors (without), by iteration."""
    alone, first, second = (entry[f"head {fit}.weight"] for entry in found.values())
    torch.testing.assert_close(first, alone, rtol=0, atol=1e-4 if "logistic" in fit else 1e-5)
    assert torch.equal(first, second)
    assert float(alone.abs().max()) > 0.1
    alone, first, second = (entry[f"head {fit}.counted"] for entry in found.values())
    torch.testing.assert_close(first, alone, rtol=0, atol=1e-4)
    assert torch.equal(first, second)
    assert int(alone[3]) == 24


def test_gradients_and_curves_agree_to_rounding(found: dict[str, dict[str, Tensor]]) -> None:
    """Also with 6 samples on one side and 5 on the other, accumulated, clipped and averaged."""
    alone, first, second = found.values()
    alone = {name: value for name, value in alone.items() if name.split(".")[0] in ("judged", "gradient", "curve")}
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-6)
        if not name.endswith("rows") or name == "judged":
            assert torch.equal(first[name], second[name])
    assert float(alone["gradient.tail.weight"].abs().max()) > 1e-2
