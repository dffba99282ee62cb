"""Volumes by the same commands as pictures: train, predict, explain."""

import json
from pathlib import Path

import numpy as np
import pytest

from globalpool.cli import main
from tests.data.volume_makers import nibabel


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright and dark spots in noise, of two sizes and uneven slices, as NIfTI and npz."""
    folder, random = tmp_path_factory.mktemp("scans"), np.random.default_rng(0)
    for name, sign in (("bright", 3), ("dark", -3)):
        (folder / name).mkdir()
        for number in range(10):
            side = 8 if number % 2 else 10
            values = random.normal(size=(side,) * 3).astype(np.float32)
            corner = random.integers(0, side - 3, 3)
            values[tuple(slice(int(c), int(c) + 3) for c in corner)] += sign
            if number % 2:
                slices = np.cumsum(random.uniform(0.5, 2, side))
                np.savez(folder / name / f"{number}.npz", values=values, slices=slices)
            else:
                affine = np.diag([-1.0, -1.0, 2.0, 1.0])
                nibabel.save(nibabel.Nifti1Image(values, affine), folder / name / f"{number}.nii.gz")
    return folder


def test_train_predict_explain(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    command = ["train", str(scans), "--out", str(run), "--trunk", "resnet3d(4, 8)", "--epochs", "8", "--batch", "6"]
    assert main([*command, "--learning_rate", "0.01", "--inputs", "window=-6:6"]) == 0
    said = capsys.readouterr().out
    assert "20 volumes" in said
    assert "memory: a step on 6 of 1 x 10 x 10 x 10 takes about" in said
    record = json.loads((run / "config.json").read_text())["architecture"]["input"]
    assert record["kind"] == "volumes"
    assert record["window"] == [-6, 6]
    files = [str(file) for name in ("bright", "dark") for file in sorted((scans / name).iterdir())]
    assert main(["predict", str(run), *files, "--out", str(tmp_path / "said")]) == 0
    rows = (tmp_path / "said" / "predictions.csv").read_text().splitlines()[1:]
    assert sum(("bright" in row.split(",")[1]) == ("/bright/" in row.split(",")[0]) for row in rows) >= 16
    chosen = [files[0], files[1]]
    assert main(["explain", "--model", str(run), *chosen, "--out", str(tmp_path / "why")]) == 0
    saved = sorted((tmp_path / "why" / "pictures").glob("*.nii.gz"))
    assert len(saved) == 2
    assert nibabel.load(saved[0]).affine == pytest.approx(nibabel.as_closest_canonical(nibabel.load(files[0])).affine)
    assert len(list((tmp_path / "why" / "pictures").glob("*.png"))) == 2
