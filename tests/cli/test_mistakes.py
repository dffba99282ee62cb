"""What a newcomer does wrong with files other than pictures gets one clear sentence, and leaves nothing behind."""

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest

from globalpool.cli import main


def _arrays(folder: Path, shape: tuple[int, ...], count: int = 6) -> Path:
    random = np.random.default_rng(0)
    for number, name in enumerate(("a", "b")):
        (folder / name).mkdir(parents=True)
        for each in range(count):
            np.save(folder / name / f"{each}.npy", random.normal(number, 1, shape).astype(np.float32))
    return folder


def test_a_pool_that_cannot_be_leaves_no_run_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signals, out = _arrays(tmp_path / "signals", (2, 50)), tmp_path / "run"
    assert main(["train", str(signals), "--out", str(out), "--pool", "grid(2, 2)"]) == 2
    assert "Grid: expected 1 numbers of bins, one for each reduced axis; got (2, 2)" in capsys.readouterr().err
    assert not out.exists()
    table = tmp_path / "molecules.csv"
    rows = [f"{'C' * n}O,alcohol\n{'C' * n}N,amine\n" for n in range(1, 8)]
    table.write_text("smiles,class\n" + "".join(rows), encoding="utf-8")
    assert main(["train", str(table), "--out", str(out), "--pool", "grid(2, 2)"]) == 2
    assert "pool: expected a pool of nodes, for graphs; got Grid" in capsys.readouterr().err
    assert not out.exists()


def test_volumes_train_under_a_pool_of_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("a", "b")):
        (tmp_path / "scans" / name).mkdir(parents=True)
        for each in range(4):
            values = np.random.default_rng(each).normal(number, 1, (6, 6, 6)).astype(np.float32)
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "scans" / name / f"{each}.nii.gz")
    command = ["train", str(tmp_path / "scans"), "--out", str(tmp_path / "run"), "--trunk", "convnet(4)"]
    assert main([*command, "--pool", "attention", "--epochs", "1"]) == 0
    assert "memory: a step on" in capsys.readouterr().out


def test_arrays_of_three_axes_are_volumes_and_files_of_another_kind_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(_arrays(tmp_path / "scans", (5, 6, 7)))]) == 0
    assert "12 volumes" in capsys.readouterr().out
    broken = _arrays(tmp_path / "broken", (2, 30))
    for file in broken.rglob("*.npy"):
        file.write_bytes(b"no array")
    assert main(["check", str(broken)]) == 1
    assert "no signal can be read" in capsys.readouterr().out
    assert main(["train", str(broken), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "at least three different readable signals; got 0; a/0.npy: expected an array" in said
    assert "Add signals of other things" in said


def test_time_that_may_lie_along_either_axis_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signals = _arrays(tmp_path / "signals", (50, 3))
    command = ["train", str(signals), "--out", str(tmp_path / "run"), "--epochs", "1"]
    assert main(command) == 2
    assert "expected which axis is time; got 50 channels of 3 values, by axis=last." in capsys.readouterr().err
    assert main([*command, "--inputs", "axis=first"]) == 0


def test_a_run_among_the_files_to_explain_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert main(["explain", str(tmp_path), "a.wav", "--out", str(tmp_path / "out")]) == 2
    assert f"Write globalpool explain FILES --model {tmp_path}." in capsys.readouterr().err


def test_several_labels_have_the_same_probabilities_when_predicted_and_explained_and_moved_data_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _arrays(tmp_path / "data", (2, 40))
    rows = [f"{name}/{n}.npy,{name}{';odd' if n % 2 else ''}\n" for name in "ab" for n in range(6)]
    (data / "labels.csv").write_text("path,label\n" + "".join(rows), encoding="utf-8")
    run, file = str(tmp_path / "run"), str(data / "a" / "0.npy")
    assert main(["train", str(data / "labels.csv"), "--out", run, "--epochs", "1"]) == 0
    assert main(["predict", run, file, "--top", "3", "--evidence", "--out", str(tmp_path / "said")]) == 0
    assert main(["explain", "--model", run, file, "--out", str(tmp_path / "why")]) == 0
    tables = []
    for where in ("said", "said/evidence", "why"):
        with (tmp_path / where / "predictions.csv").open(encoding="utf-8", newline="") as stream:
            found = list(csv.DictReader(stream))
        tables.append({row.get("class") or row["label"]: float(row["probability"]) for row in found})
    assert set(tables[0]) == {"a", "b", "odd"}
    assert tables[1] == pytest.approx(tables[0], abs=1e-5)
    assert tables[2] == pytest.approx(tables[0], abs=1e-5)
    data.rename(tmp_path / "moved")
    capsys.readouterr()
    assert main(["resume", run]) == 2
    assert "Where the data were moved, say --data." in capsys.readouterr().err
